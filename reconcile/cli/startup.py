"""The first milliseconds of the process, before any slow import: Python's options, standard streams and signals."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from reconcile.errors import OutputError

STOPPED = "interrupted; finished work is kept, run the same command again to continue"
INTERRUPTED = 130
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def prepare_process() -> None:
    """Prepare the process for any command. Call this function before anything else."""
    end_on_signals(INTERRUPTED, f"reconcile: {STOPPED}\n")
    _keep_docstrings()
    _reopen_standard_streams()


def end_on_signals(code: int, line: str = "") -> None:
    """End the process on SIGINT and SIGTERM without an exception, while there is nothing to clean up.

    A library that is just being imported may not survive an exception.

    Args:
        code: the exit code.
        line: a line for standard error.
    """

    def end(*_: object) -> NoReturn:
        with suppress(OSError):
            os.write(_STDERR, line.encode())
        os._exit(code)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def flush_standard_streams() -> None:
    """Write what is still buffered. Call this function before the process ends.

    Raises:
        OutputError: standard output cannot be written.
    """
    sys.stderr.flush()
    sys.stdout.flush()


def _keep_docstrings() -> None:
    """Start Python again if it removes docstrings (PYTHONOPTIMIZE=2), because Altair reads its own docstrings."""
    if sys.flags.optimize < 2:
        return
    if os.environ.get("PYTHONOPTIMIZE") == "1":
        sys.exit("reconcile: Python's option -OO removes docstrings that reconcile needs; leave it out, or use -O")
    os.environ["PYTHONOPTIMIZE"] = "1"
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "-OO"]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 # the same program


def _reopen_standard_streams() -> None:
    """Open closed streams on /dev/null, and replace Python's streams by ones that survive errors.

    A closed stream would be None. The next file that is opened would also get the number of the stream, and output for
    a person would be written into that file.
    """
    for number in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, closefd=False)  # noqa: SIM115
    if sys.stdout is sys.__stdout__:  # otherwise a test has replaced it
        sys.stdout = sys.__stdout__ = _Stream(_STDOUT, sys.stdout)  # type: ignore[misc]
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _Stream(_STDERR, sys.stderr)  # type: ignore[misc]


class _Stream(io.TextIOWrapper):
    """Standard output or standard error. After an error, the stream leads to /dev/null.

    An error of standard output raises `OutputError` once. An error of standard error is ignored, because there is no
    place to report it. A letter that the encoding of the stream lacks becomes `?`.

    Args:
        number: the file descriptor.
        stream: Python's own stream, which is not used any more. None if the descriptor was closed.
    """

    def __init__(self, number: int, stream: io.TextIOWrapper | None) -> None:
        self._number = number
        if stream is None:
            super().__init__(open(number, "wb", closefd=False), errors="replace")  # noqa: SIM115
        else:
            settings = (stream.encoding, "replace", None, stream.line_buffering, stream.write_through)
            super().__init__(stream.detach(), *settings)

    def write(self, text: str) -> int:
        """Write a text."""
        if text == "":  # a library finds out whether this is a text stream, and would swallow the error
            return 0
        try:
            return super().write(text)
        except OSError as error:
            return self._discard(error, len(text))

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError, length: int = 0) -> int:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._number)
        os.close(null)
        if self._number == _STDOUT:
            raise OutputError(error.strerror or str(error)) from None
        return length
