"""Commands `verdicts import`, `verdicts list` and `verdicts export`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated, Any

import typer

from reconcile.cli import options
from reconcile.cli.exits import FAILED
from reconcile.cli.help import App
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import printable
from reconcile.temporary import temporary_folder
from reconcile.text import plural

app = App(help="Import, list and export verdicts: what people found when they recounted bins.")


@app.command("import")
@options.takes(*options.OUTPUT)
def import_(
    file: Annotated[
        Path, typer.Argument(help="recount.csv of a run with true_count filled in, or the export of its report.")
    ],
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Import counts above 20 even if they are over ten times the record.", show_default=False
        ),
    ] = False,
    **flags: Any,
) -> None:
    """Import verdicts from a CSV file. Later runs learn from them.

    The file has the columns bin_id, run_id and true_count, and optionally note. Lines without a true_count are
    skipped, and so are verdicts that were imported before. Invalid lines are listed by number. Without --yes, a count
    above 20 is invalid if it is over ten times the record.

    Exit codes: 0 done, 1 failed or some lines are invalid, 2 wrong usage.
    """
    from reconcile.verdicts.importing import import_verdicts

    output = options.open_output(flags)
    with temporary_folder() as scratch:
        result = import_verdicts(file, output, scratch, accept_large=yes)
    for reason in result.reasons:
        print(f"reconcile: {file}: {printable(reason)}", file=sys.stderr)
    invalid = plural(len(result.invalid), "line")
    print(f"{plural(result.imported, 'verdict')} imported, {result.known:,} already known, {invalid} invalid")
    if not any(result):
        print("no line has a true_count")
    if result.invalid:
        raise typer.Exit(FAILED)


@app.command("list")
@options.takes(*options.OUTPUT)
def list_(**flags: Any) -> None:
    """List all verdicts, the newest first."""
    from reconcile.verdicts.queries import verdict_table

    output = options.open_output(flags)
    with temporary_folder() as scratch:
        table = verdict_table(output, scratch)
    shown = table.drop(columns="image_key").astype(object).fillna("")
    lines = shown.to_string(index=False).split("\n") if len(shown) else ["no verdicts yet"]
    print("\n".join(map(printable, lines)))


@app.command("export")
@options.takes(*options.OUTPUT)
def export(
    file: Annotated[Path | None, typer.Argument(help="CSV file to write all verdicts to.")] = None,
    adjustments: Annotated[
        Path | None,
        typer.Option(help="CSV file to write stock adjustments to, one for each wrong record.", show_default=False),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Export only the adjustments of this run.", show_default=False)
    ] = None,
    **flags: Any,
) -> None:
    """Write all verdicts to a CSV file, or the wrong records as stock adjustments for an ERP.

    Example: `reconcile verdicts export --adjustments adjustments.csv --run 20261124T021500.123Z --out results`
    """
    if file is None and adjustments is None:
        raise UsageError("name the file to write: reconcile verdicts export FILE, or --adjustments FILE")
    if run is not None and adjustments is None:
        raise UsageError("--run needs --adjustments FILE")
    from reconcile.verdicts.adjustments import stock_adjustments
    from reconcile.verdicts.queries import verdict_csv

    output = options.open_output(flags)
    with temporary_folder() as scratch:
        if file is not None:
            number, content = verdict_csv(output, scratch)
            _write(file, content)
            print(f"{plural(number, 'verdict')} written to {file}")
        if adjustments is None:
            return
        result = stock_adjustments(output, scratch, run)
    if run is not None and not result.number and not output.has_finished(run):
        raise ReconcileError(f"there is no finished run {run[:100]!r} in {output.location}; check --run and --out")
    _write(adjustments, result.content)
    print(f"{plural(result.number, 'stock adjustment')} written to {adjustments}")
    for run_id in result.runs_without_files:
        problem = "cannot be read or was removed, so its adjustments name no product"
        print(f"reconcile: reconciled.parquet of run {printable(run_id)} {problem}", file=sys.stderr)


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ReconcileError(f"{file} cannot be written: {error.strerror}") from None
