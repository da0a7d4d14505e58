"""Run log and progress: bars on a terminal, plain lines under cron, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rich.progress import Progress


LogFormat = Literal["text", "json"]
LINE_EVERY_SECONDS = 30.0
"""Seconds between two lines of progress."""
NAMED_IN_TEXT = 20
"""The number of failed objects per stage that a text log names. A JSON log names all."""
_PREFIXES = {"info": "", "warning": "warning: ", "error": "reconcile: "}


class Workload(Protocol):
    """The size of a task, which may still grow."""

    @property
    def total(self) -> int:
        """Return the number of objects known so far."""

    @property
    def is_complete(self) -> bool:
        """Return whether `total` is final."""


class FixedWorkload(NamedTuple):
    """A workload whose size is known from the start."""

    total: int
    """The number of objects to process."""
    is_complete: bool = True
    """Always true: `total` does not grow."""


class RunLog:
    """The log of one run.

    Args:
        log_format: "text" for people, "json" for one object per line.
        run_id: the run, for JSON lines.
        stream: where lines go; standard error by default, because standard output is for results.
    """

    def __init__(self, log_format: LogFormat, run_id: str | None = None, stream: TextIO | None = None) -> None:
        self._json = log_format == "json"
        self._run_id = run_id
        self._own_stream = stream
        self._display: Progress | None = None

    @property
    def _stream(self) -> TextIO:
        # While bars are shown, rich replaces sys.stderr by a stream that writes above them.
        return self._own_stream or sys.stderr

    def info(self, text: str, **fields: Any) -> None:
        """Write one line. `fields` appear in JSON lines only."""
        self._write("info", text, fields)

    def warn(self, text: str, **fields: Any) -> None:
        """Write one line about a problem that does not end the run."""
        self._write("warning", text, fields)

    def error(self, text: str) -> None:
        """Write the last line of a run that failed."""
        self._write("error", text, {})

    def _write(self, level: str, text: str, fields: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        if self._json:
            head = {
                "time": now.isoformat(timespec="milliseconds"),
                "level": level,
                "run_id": self._run_id,
                "message": text,
            }
            line = json.dumps(head | fields)
        else:
            line = f"{_PREFIXES[level]}{printable(text)}"
            if not self._stream.isatty():  # a log file may cover many days
                line = f"{now:%Y-%m-%d %H:%M:%SZ} {line}"
            elif level != "error":
                line = f"{now:%H:%M:%S} {line}"
        # A full disk must not end the run. Several threads write, so each line is one call of write.
        with suppress(OSError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def failures(self, what: str, stage: str) -> AbstractContextManager[Callable[[str, str], None]]:
        """Log the objects that a stage could not fetch or read.

        Args:
            what: the name of the objects, in the plural.
            stage: name of the stage, for JSON lines.

        Returns:
            a context whose value is a function that takes the key of an object and the reason.
        """
        return self._warnings(stage, "reason", f"{what} could not be read; reconciled.parquet has the reasons")

    def notes(self, what: str, stage: str) -> AbstractContextManager[Callable[[str, str], None]]:
        """Log the objects that a stage has used although something about them is odd.

        Args:
            what: the name of the objects, in the plural.
            stage: name of the stage, for JSON lines.

        Returns:
            a context whose value is a function that takes the key of an object and the note.
        """
        return self._warnings(stage, "note", f"{what} have a note; reconciled.parquet has the notes")

    @contextmanager
    def _warnings(self, stage: str, field: str, more: str) -> Iterator[Callable[[str, str], None]]:
        """Log objects one by one. A text log names the first ones and says at the end how many `more` there are."""
        number = 0

        def log_object(key: str, text: str) -> None:
            nonlocal number
            number += 1
            if self._json or number <= NAMED_IN_TEXT:
                self.warn(f"{key}: {text}", stage=stage, key=key, **{field: text})

        yield log_object
        unnamed = 0 if self._json else number - NAMED_IN_TEXT
        if unnamed > 0:
            self.warn(f"{unnamed:,} more {more}")

    @contextmanager
    def progress(self, what: str, workload: Workload, **fields: Any) -> Iterator[Advance]:
        """Show the progress of a task as a bar, or as a line every 30 seconds.

        Args:
            what: name of the task, such as "counting".
            workload: size of the task.
            fields: more fields for JSON lines.

        Yields:
            a function that takes the number of objects just processed.
        """
        if self._shows_bars:
            with self._open_display() as display:
                bar = _ProgressBar(display, what, workload)
                yield bar
                bar(0)
        else:
            lines = _ProgressLines(self, what, workload, fields)
            with lines:
                yield lines

    @property
    def _shows_bars(self) -> bool:
        return not self._json and self._stream.isatty()

    @contextmanager
    def shared_display(self) -> Iterator[None]:
        """Show the bars of all tasks inside this context under each other, also those of other threads."""
        with self._open_display() if self._shows_bars else nullcontext():
            yield

    @contextmanager
    def _open_display(self) -> Iterator[Progress]:
        """Open the display of bars, or use the open one, because a terminal can have only one."""
        if self._display is not None:
            yield self._display
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as self._display:
            try:
                yield self._display
            finally:
                self._display = None


class _ProgressBar:
    """One bar of a display."""

    def __init__(self, display: Progress, what: str, workload: Workload) -> None:
        self._display, self._workload = display, workload
        self._done, self._started = 0, time.monotonic()
        self._task = display.add_task(what, total=None, rate="")

    def __call__(self, done: int) -> None:
        self._done += done
        rate = f"{self._done / max(time.monotonic() - self._started, 1e-9):.0f}/s"
        self._display.update(self._task, completed=self._done, total=self._workload.total, rate=rate)


def printable(text: str) -> str:
    """Return a text with control characters as `?`, because keys, ids and notes may hold terminal commands."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Advance(Protocol):
    """A function that records progress."""

    def __call__(self, done: int) -> None:
        """Add the number of objects just processed."""


class _ProgressLines:
    """A plain line every 30 seconds. A thread writes the line, because lines must also appear while nothing is done."""

    def __init__(self, log: RunLog, what: str, workload: Workload, fields: dict[str, Any]) -> None:
        self._log, self._what, self._workload, self._fields = log, what, workload, fields
        self._done, self._started = 0, time.monotonic()
        self._done_at_last_line = -1
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __call__(self, done: int) -> None:
        self._done += done

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        while not self._ended.wait(LINE_EVERY_SECONDS):
            self.write_line()

    def write_line(self) -> None:
        """Log how much is done, how fast, and the time left, or that nothing was done since the last line."""
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        total = f"{self._workload.total:,}" if self._workload.is_complete else f"at least {self._workload.total:,}"
        rest = f", about {_duration((self._workload.total - self._done) / rate)} left" if rate else ""
        if self._done == self._done_at_last_line:
            rest = "; nothing since the last line"
        self._done_at_last_line = self._done
        self._log.info(
            f"{self._what}: {self._done:,} of {total}, {rate:.0f}/s{rest}",
            done=self._done,
            total=self._workload.total,
            per_second=round(rate, 1),
            **self._fields,
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
