"""Exit codes and the one line a failed command prints."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from reconcile.cli.startup import INTERRUPTED, STOPPED
from reconcile.errors import ReconcileError, UsageError
from reconcile.urls import WITH_SECRETS, may_hold_secret, normalize_location
from reconcile.variables import DEBUG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconcile.logs import RunLog


FAILED, USAGE = 1, 2
_PLAINER = {
    "Input should be a valid integer, unable to parse string as an integer": "expected a whole number",
    "Input should be a valid number, unable to parse string as a number": "expected a number",
}


@contextmanager
def report_failure(log: RunLog) -> Iterator[None]:
    """Log any error as one line, then end the command with its exit code by SystemExit."""
    try:
        yield
    except BaseException as error:  # a panic in a Rust library is not an Exception
        code, line = describe_error(error, stopped=isinstance(error, KeyboardInterrupt))
        log.error(line)
        raise SystemExit(code) from None


def describe_error(error: BaseException, *, stopped: bool) -> tuple[int, str]:
    """Return the exit code for an error and the line to print.

    Args:
        error: what ended the command. With RECONCILE_DEBUG=1, an unexpected error is raised again.
        stopped: whether a signal asked the command to end.

    Returns:
        the exit code, and the line without `reconcile: `.
    """
    if stopped:
        return INTERRUPTED, STOPPED
    if isinstance(error, ReconcileError):
        return USAGE if isinstance(error, UsageError) else FAILED, " ".join(str(error).split())
    if isinstance(error, typer.TyperException):
        return USAGE, _describe_wrong_usage(error)
    if os.environ.get(DEBUG):
        raise error
    line = f"unexpected {type(error).__name__}: {error} (set {DEBUG}=1 to see the traceback)"
    return FAILED, " ".join(line.split())


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse passwords and signatures in the arguments of the command, before any message can repeat them.

    Raises:
        UsageError: an argument looks like an address with a password or a signature. The message does not repeat it.
    """
    name = None
    for number, argument in enumerate(arguments, start=1):
        flag, separator, value = argument.partition("=")
        is_flag = argument.startswith("--")
        if is_flag and separator:
            name = flag
        elif not is_flag:
            value = argument
        if may_hold_secret(value):
            if name != "--endpoint-url":
                try:
                    normalize_location(value)
                except ValueError as error:  # a better reason, such as a scheme that reconcile does not support
                    raise UsageError(f"{name or f'argument {number}'}: {error}") from None
            raise UsageError(f"{name or f'argument {number}'}: {WITH_SECRETS}")
        name = flag if is_flag and not separator else None


def _describe_wrong_usage(error: typer.TyperException) -> str:
    """Return typer's message in plainer words, and the command to get help."""
    message = " ".join(getattr(error, "format_message", error.__str__)().split())
    message = re.sub(r" \(env var: .*?\)(?=:)", "", message)  # SageMaker's variables do not help here
    for words, plainer in _PLAINER.items():
        message = message.replace(words, plainer)
    context: typer.Context | None = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message if message[-1] in '.?!' else message + '.'} Try: {context.command_path} --help"
