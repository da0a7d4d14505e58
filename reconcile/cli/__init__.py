"""The command line: registers the commands and maps errors to exit codes.

A command imports slow modules when it needs them, so that `--help` and messages about wrong usage are fast.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from reconcile import __version__
from reconcile.cli import doctor, evaluate, export, prune, report, run, sagemaker, serve, train, verdicts
from reconcile.cli.exits import describe_error
from reconcile.concurrency import cancellation
from reconcile.concurrency.background import any_running
from reconcile.concurrency.process import use_system_allocator

app = typer.Typer(
    help="Count the items in photos of warehouse bins, compare the counts with the inventory records, "
    "and list the bins to recount.",
    epilog="Start with `reconcile demo`. It needs no bucket and no settings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(is_given: bool) -> None:
    if is_given:
        print(f"reconcile {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(run.run)
app.command()(run.demo)
app.command()(report.report)
app.command()(prune.prune)
app.command()(doctor.doctor)
app.command(epilog=train.SAGEMAKER_VARIABLES)(train.train)
app.command(epilog=train.SAGEMAKER_VARIABLES)(train.tune)
app.command()(export.export)
app.command()(evaluate.evaluate)
app.command(epilog=serve.SAGEMAKER_VARIABLES)(serve.serve)
app.command()(sagemaker.ingest)
app.add_typer(sagemaker.app, name="sagemaker")
app.add_typer(verdicts.app, name="verdicts")


def main() -> NoReturn:
    """Run the console script. Every error ends in one line and an exit code."""
    cancellation.install_handlers()
    use_system_allocator()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # an ASCII log must not end a run
    try:
        code = app(standalone_mode=False) or 0  # in standalone mode, typer prints wrong usage as a box of five lines
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # a panic in a Rust library is not an Exception
        code, line = describe_error(error, stopped=cancellation.is_requested())
        if line:
            print(f"reconcile: {line}", file=sys.stderr)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process. If a thread still waits for S3, skip Python's cleanup, during which libraries print errors."""
    if any_running():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
