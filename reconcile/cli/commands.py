"""Register the commands, and run one.

A command imports slow modules when it needs them. So `--help` and messages about wrong usage are fast.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from reconcile import __version__
from reconcile.cli import doctor, evaluate, export, prune, recount, report, run, sagemaker, serve, train, verdicts
from reconcile.cli.exits import describe_error, refuse_secrets
from reconcile.cli.help import App
from reconcile.cli.startup import INTERRUPTED, end_on_signals, flush_standard_streams
from reconcile.concurrency import cancellation
from reconcile.concurrency.background import any_running
from reconcile.concurrency.process import use_system_allocator
from reconcile.errors import OutputError

app = App(
    help="Count the items in photos of warehouse bins, compare the counts with the inventory records, "
    "and list the bins to recount.",
    epilog="Start with `reconcile demo`. It needs no bucket and no settings.",
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
app.command()(recount.recount)
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


def execute() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit code."""
    cancellation.install_handlers()
    use_system_allocator()
    try:
        refuse_secrets(sys.argv[1:])
        code = app(standalone_mode=False) or 0  # in standalone mode, typer prints wrong usage as a box of five lines
        if code == INTERRUPTED:  # typer's code for a KeyboardInterrupt that no command has reported
            raise KeyboardInterrupt
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # a panic in a Rust library is not an Exception
        code = _print_error(error)
    end_on_signals(code)
    try:
        flush_standard_streams()
    except OutputError as error:
        code = code or _print_error(error)
    _leave(code)


def _print_error(error: BaseException) -> int:
    stopped = isinstance(error, KeyboardInterrupt) or cancellation.is_requested()
    code, line = describe_error(error, stopped=stopped)
    print(f"reconcile: {line}", file=sys.stderr)
    return code


def _leave(code: int) -> NoReturn:
    """End the process. If a thread still waits for S3, skip Python's cleanup, during which libraries print errors."""
    if any_running():
        os._exit(code)
    sys.exit(code)
