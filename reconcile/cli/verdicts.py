"""Commands `verdicts import`, `verdicts list` and `verdicts export`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 # typer reads annotations
from typing import Annotated, Any

import typer

from reconcile.cli import options
from reconcile.cli.exits import FAILED
from reconcile.errors import ReconcileError
from reconcile.logs import printable
from reconcile.temporary import temporary_folder
from reconcile.text import plural

app = typer.Typer(
    help="Import, list and export verdicts: what people found when they recounted bins.", no_args_is_help=True
)


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
def export(file: Annotated[Path, typer.Argument(help="CSV file to write.")], **flags: Any) -> None:
    """Write all verdicts to a CSV file."""
    from reconcile.verdicts.queries import verdict_csv

    output = options.open_output(flags)
    with temporary_folder() as scratch:
        number, content = verdict_csv(output, scratch)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ReconcileError(f"{file} cannot be written: {error.strerror}") from None
    print(f"{plural(number, 'verdict')} written to {file}")
