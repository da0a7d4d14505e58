"""What a run tells while it works: a bar on a terminal, plain lines under cron, JSON lines for machines."""

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

    from rich.progress import Progress


LINE_EVERY_SECONDS = 30.0
NAMED_IN_TEXT = 20
"""Objects of a stage that a person's log names; JSON lines name every one."""
_START = {"info": "", "warning": "warning: ", "error": "reconcile: "}


class Workload(Protocol):
    """How much there is to do; it may still grow."""

    @property
    def total(self) -> int:
        """So far."""

    @property
    def is_complete(self) -> bool:
        """Whether `total` is final."""


class FixedWorkload(NamedTuple):
    """A workload whose size is known from the start."""

    total: int
    """The number of things to do."""
    is_complete: bool = True
    """Always true: `total` does not grow."""


class RunLog:
    """Tells of one run on a stream, standard error by default; standard output is for results."""

    def __init__(self, log_format: LogFormat, run_id: str | None = None, stream: TextIO | None = None) -> None:
        self._json = log_format == "json"
        self._run_id = run_id
        self._own_stream = stream
        self._shown: Progress | None = None

    @property
    def _stream(self) -> TextIO:
        # While a bar is shown, sys.stderr is another: one that writes above the bar.
        return self._own_stream or sys.stderr

    def info(self, text: str, **fields: Any) -> None:
        """One line; `fields` go into a JSON line only."""
        self._line("info", text, fields)

    def warn(self, text: str, **fields: Any) -> None:
        """One line about something that is worth mending."""
        self._line("warning", text, fields)

    def error(self, text: str) -> None:
        """The one line that a run ends with."""
        self._line("error", text, {})

    def _line(self, level: str, text: str, fields: dict[str, Any]) -> None:
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
            line = f"{_START[level]}{printable(text)}"
            if not self._stream.isatty():  # a log of many nights has to say the day
                line = f"{now:%Y-%m-%d %H:%M:%SZ} {line}"
            elif level != "error":
                line = f"{now:%H:%M:%S} {line}"
        # A full disk under the log is no reason to lose the night. And one write a line: threads tell things, too.
        with suppress(OSError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    @contextmanager
    def failures(self, what: str, stage: str) -> Iterator[Callable[[str, str], None]]:
        """Name what could not be had or read; what is yielded is called with a key and the reason.

        Args:
            what: they are, in the plural.
            stage: of the run.
        """
        named = 0

        def name(key: str, reason: str) -> None:
            nonlocal named
            named += 1
            if self._json or named <= NAMED_IN_TEXT:
                self.warn(f"{key}: {reason}", stage=stage, key=key, reason=reason)

        yield name
        more = 0 if self._json else named - NAMED_IN_TEXT
        if more > 0:
            self.warn(f"{more:,} more {what} could not be read; reconciled.parquet says why")

    @contextmanager
    def progress(self, what: str, workload: Workload, **fields: Any) -> Iterator[Advance]:
        """Show how far `what` has come; the object yielded is called with the number of things just done."""
        if self._shows_bars:
            with self._bars() as bars:
                bar = _Bar(bars, what, workload)
                yield bar
                bar(0)
        else:
            lines = _Lines(self, what, workload, fields)
            with lines:
                yield lines

    @property
    def _shows_bars(self) -> bool:
        return not self._json and self._stream.isatty()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What shows its progress within, whichever thread it belongs to, does so side by side."""
        with self._bars() if self._shows_bars else nullcontext():
            yield

    @contextmanager
    def _bars(self) -> Iterator[Progress]:
        """What shows bars; a terminal has room for one such thing, and it for several bars."""
        if self._shown is not None:
            yield self._shown
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
        with Progress(*columns, console=Console(stderr=True)) as self._shown:
            try:
                yield self._shown
            finally:
                self._shown = None


class _Bar:
    """One bar among those that are shown."""

    def __init__(self, bars: Progress, what: str, workload: Workload) -> None:
        self._bars, self._workload = bars, workload
        self._done, self._started = 0, time.monotonic()
        self._task = bars.add_task(what, total=None, rate="")

    def __call__(self, done: int) -> None:
        self._done += done
        rate = f"{self._done / max(time.monotonic() - self._started, 1e-9):.0f}/s"
        self._bars.update(self._task, completed=self._done, total=self._workload.total, rate=rate)


def printable(text: str) -> str:
    """Without what a terminal would obey: keys, ids and notes come from strangers."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Advance(Protocol):
    """Called whenever something is done."""

    def __call__(self, done: int) -> None:
        """`done` more of them."""


class _Lines:
    """One plain line every 30 seconds, from a thread of its own: also when nothing at all gets done."""

    def __init__(self, messages: RunLog, what: str, workload: Workload, fields: dict[str, Any]) -> None:
        self._messages, self._what, self._workload, self._fields = messages, what, workload, fields
        self._done, self._started = 0, time.monotonic()
        self._told = -1
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
            self.tell()

    def tell(self) -> None:
        """How many are done, how fast, and how long it will take; or that nothing goes on, as where S3 is down."""
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        total = f"{self._workload.total:,}" if self._workload.is_complete else f"at least {self._workload.total:,}"
        left = f", about {_duration((self._workload.total - self._done) / rate)} left" if rate else ""
        if self._done == self._told:
            left = "; nothing since the last line"
        self._told = self._done
        self._messages.info(
            f"{self._what}: {self._done:,} of {total}, {rate:.0f}/s{left}",
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


LogFormat = Literal["text", "json"]
