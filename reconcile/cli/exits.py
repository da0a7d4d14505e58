"""How a command ends: whatever goes wrong becomes one line and an exit code."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from reconcile.errors import DEBUG, ReconcileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.logs import RunLog


FAILED, USAGE, INTERRUPTED = 1, 2, 130


@contextmanager
def report_failure(messages: RunLog) -> Iterator[None]:
    """Typer would end without a word; and an error after a signal is told as what it is."""
    try:
        yield
    except BaseException as error:  # a library in Rust that panics raises no Exception
        code, line = describe_error(error, stopped=isinstance(error, KeyboardInterrupt))
        messages.error(line)
        raise typer.Exit(code) from None


def describe_error(error: BaseException, *, stopped: bool) -> tuple[int, str]:
    """Exit code and line, which is empty where all has been said.

    What nobody thought of can be looked into with RECONCILE_DEBUG=1.
    """
    if stopped:
        return INTERRUPTED, "interrupted; what was done is kept, run the same command again to go on"
    if isinstance(error, ReconcileError):
        return USAGE if isinstance(error, UsageError) else FAILED, " ".join(str(error).split())
    if isinstance(error, typer.TyperException):
        return USAGE, _wrong_usage(error)
    if os.environ.get(DEBUG):
        raise error
    return FAILED, " ".join(f"unexpected {type(error).__name__}: {error} (set {DEBUG}=1 to see where)".split())


def _wrong_usage(error: typer.TyperException) -> str:
    """What typer says of an option or argument; nothing where it has printed the help itself."""
    told = " ".join(getattr(error, "format_message", error.__str__)().split())
    told = re.sub(r" \(env var: .*?\)(?=:)", "", told)  # a list of those that SageMaker sets
    told = told.replace(
        "Input should be a valid integer, unable to parse string as an integer", "expected a whole number"
    )
    told = told.replace("Input should be a valid number, unable to parse string as a number", "expected a number")
    context: typer.Context | None = getattr(error, "ctx", None)
    if not told or context is None:
        return told
    return f"{told if told[-1] in '.?!' else told + '.'} Try: {context.command_path} --help"
