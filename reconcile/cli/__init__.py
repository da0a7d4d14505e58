"""The command line: which commands there are, and how the process ends.

Heavy modules are imported inside the commands that need them, so that --help is instant.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from reconcile import __version__
from reconcile.cli import models, runs, sagemaker, serve, verdicts
from reconcile.cli.exits import describe_error
from reconcile.concurrency import cancellation
from reconcile.concurrency.background import any_running
from reconcile.concurrency.process import use_system_allocator

app = typer.Typer(
    help="Count the items in every bin photo of a bucket, hold each count against the record, say what to recount.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"reconcile {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(runs.run)
app.command()(runs.demo)
app.command()(runs.report)
app.command()(runs.prune)
app.command()(runs.doctor)
app.command(epilog=models.FROM_SAGEMAKER)(models.train)
app.command(epilog=models.FROM_SAGEMAKER)(models.tune)
app.command()(models.export)
app.command()(models.evaluate)
app.command(epilog=serve.FROM_SAGEMAKER)(serve.serve)
app.command()(sagemaker.ingest)
app.add_typer(sagemaker.app, name="sagemaker")
app.add_typer(verdicts.app, name="verdicts")


def main() -> NoReturn:
    """The console script: whatever goes wrong ends in one line and an exit code."""
    cancellation.install_handlers()
    use_system_allocator()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a log in ASCII loses a letter, not the run
    try:
        code = app(standalone_mode=False) or 0  # else typer tells of wrong usage in a box of five lines
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:  # a library in Rust that panics raises no Exception
        code, line = describe_error(error, stopped=cancellation.is_requested())
        if line:
            print(f"reconcile: {line}", file=sys.stderr)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process; at once where a thread still waits for S3, since Python's own way makes libraries complain."""
    if any_running():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
