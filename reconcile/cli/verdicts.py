"""Commands on what people found who recounted bins: verdicts import, list, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconcile.cli import options
from reconcile.cli.exits import FAILED
from reconcile.errors import ReconcileError
from reconcile.logs import printable
from reconcile.text import plural

if TYPE_CHECKING:
    import pandas as pd

    from reconcile.output.store import Output


app = typer.Typer(help="What people found who recounted bins: taken up, listed, given out.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="recount.csv with true_count filled in, or the report's export.")],
    out: options.Out = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Take up a CSV of verdicts: bin_id, run_id, true_count, and perhaps note. Later runs learn from them.

    Lines without a true_count are passed over; what is known already is not taken twice.

    Exit codes: 0 done, 1 failed, or some lines could not be taken, 2 wrong usage.
    """
    from tempfile import TemporaryDirectory

    from reconcile.verdicts.importing import import_verdicts

    output = options.output(out, endpoint_url, region, profile)
    with TemporaryDirectory(prefix="reconcile-") as work:
        taken, known, left_out, reasons = import_verdicts(file, output, Path(work))
    for reason in reasons:
        print(f"reconcile: {file}: {printable(reason)}", file=sys.stderr)
    print(f"{plural(taken, 'verdict')} taken, {known:,} known already, {plural(left_out, 'line')} left out")
    if not (taken or known or left_out):
        print("no line has a true_count")
    if left_out:
        raise typer.Exit(FAILED)


@app.command("list")
def list_(
    out: options.Out = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Show the verdicts so far, the newest first."""
    table = _verdicts(options.output(out, endpoint_url, region, profile))
    shown = table.drop(columns="image_key").astype(object).fillna("")
    lines = shown.to_string(index=False).split("\n") if len(shown) else ["no verdicts yet"]
    print("\n".join(map(printable, lines)))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    out: options.Out = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
) -> None:
    """Write the verdicts so far as CSV."""
    from tempfile import TemporaryDirectory

    from reconcile.verdicts.queries import verdict_csv

    output = options.output(out, endpoint_url, region, profile)
    with TemporaryDirectory(prefix="reconcile-") as work:
        verdicts, content = verdict_csv(output, Path(work))
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ReconcileError(f"{file} cannot be written: {error.strerror}") from None
    print(f"{plural(verdicts, 'verdict')} written to {file}")


def _verdicts(output: Output) -> pd.DataFrame:
    from tempfile import TemporaryDirectory

    from reconcile.verdicts.queries import verdict_table

    with TemporaryDirectory(prefix="reconcile-") as work:
        return verdict_table(output, Path(work))
