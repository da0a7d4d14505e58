"""The journal: every tap is on this machine's disk before the phone hears that it is saved.

A journal is a file of JSON lines. A line holds a verdict, or the plan of a part, or says that the part was written. The
plan of a part names the part and its rows before the part is written. So a process that is killed while it writes a
part writes the same part under the same name again, and each verdict is in exactly one part.

A process locks its journal. The operating system releases the lock when the process ends in any way. A new process
continues the journals that nobody has locked.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


_REWRITE_BYTES = 1_000_000
"""A journal of this size is emptied as soon as all of its verdicts are in parts."""


@dataclass(frozen=True)
class PlannedPart:
    """A part of verdicts that is being written."""

    name: str
    sequence: int
    imported_at: datetime
    rows: tuple[dict[str, Any], ...]
    """The verdicts, as columns of `output.schemas.VERDICTS_SCHEMA` in JSON."""


class Journal:
    """One journal that this process has locked. All methods may be called from several threads."""

    def __init__(self, path: Path, file: BinaryIO, warn: Callable[[str], None]) -> None:
        self.name = path.stem.removeprefix("journal-")
        """A random text that identifies the journal."""
        self._path, self._file = path, file
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[str, Any]] = {}
        self._planned: PlannedPart | None = None
        self._end = 0
        self._read(warn)

    def _read(self, warn: Callable[[str], None]) -> None:
        """Read what the journal holds. The last line may be incomplete after a kill: no phone has heard of it."""
        damaged = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._end += len(line)
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                damaged += 1
        if damaged:
            warn(f"{self._path}: {damaged} damaged lines are left out; a disk may be failing")
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _apply(self, line: dict[str, Any]) -> None:
        if "verdict" in line:
            self._waiting[line["verdict"]["entry_id"]] = line["verdict"]
        elif "part" in line:
            plan = line["part"]
            rows = tuple(self._waiting[entry_id] for entry_id in plan["entries"])
            imported_at = datetime.fromisoformat(plan["imported_at"])
            self._planned = PlannedPart(plan["name"], int(plan["sequence"]), imported_at, rows)
        elif self._planned is not None and line["written"] == self._planned.name:
            self._forget_planned()

    def _forget_planned(self) -> None:
        assert self._planned is not None
        for row in self._planned.rows:
            self._waiting.pop(row["entry_id"], None)
        self._planned = None

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """Return the verdicts that are in no written part, in the order of their taps."""
        with self._lock:
            return list(self._waiting.values())

    def append(self, verdicts: Sequence[dict[str, Any]]) -> None:
        """Keep verdicts. They are on the disk when this method returns.

        Args:
            verdicts: columns of the verdicts that JSON can hold, with an entry_id each.

        Raises:
            ReconcileError: the disk is full or broken. None of the verdicts is kept.
        """
        with self._lock:
            self._write([{"verdict": verdict} for verdict in verdicts])
            for verdict in verdicts:
                self._waiting[verdict["entry_id"]] = verdict

    def plan_part(self, next_sequence: Callable[[], int]) -> PlannedPart | None:
        """Return the part to write next, or None if nothing waits. An unfinished part comes first.

        Args:
            next_sequence: returns the sequence number of a new part.
        """
        with self._lock:
            if self._planned is None and self._waiting:
                now = datetime.now(UTC)
                name = f"{now:%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}"
                part = PlannedPart(name, next_sequence(), now, tuple(self._waiting.values()))
                plan = {"name": name, "sequence": part.sequence, "imported_at": now.isoformat()}
                self._write([{"part": plan | {"entries": [row["entry_id"] for row in part.rows]}}])
                self._planned = part
            return self._planned

    def finish_part(self, part: PlannedPart) -> None:
        """Remember that a part was written."""
        with self._lock:
            self._write([{"written": part.name}])
            self._forget_planned()
            if not self._waiting and self._end > _REWRITE_BYTES:
                self._file.truncate(0)
                self._file.seek(0)
                self._end = 0

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # the next line must not follow half a line
                self._file.truncate(self._end)
                self._file.seek(self._end)
            raise ReconcileError(f"cannot write {self._path}: {error.strerror}") from None
        self._end += len(data)

    def close(self) -> None:
        """Release the lock. The file stays, so that the next process has a journal of the same name."""
        with self._lock:
            self._file.close()

    def discard(self) -> None:
        """Release the lock, and delete the journal of an ended process. Nothing may wait in it any more."""
        with self._lock:
            self._path.unlink(missing_ok=True)
            self._file.close()


def open_journals(folder: Path, warn: Callable[[str], None]) -> list[Journal]:
    """Open the journals of ended processes, or create one. The first one is for new verdicts.

    Args:
        folder: the folder of the journals. It is created if it does not exist.
        warn: called with a message about a journal that is damaged.

    Raises:
        ReconcileError: the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [*sorted(folder.glob("journal-*.jsonl")), folder / f"journal-{uuid.uuid4().hex}.jsonl"]
        journals: list[Journal] = []
        for path in paths:
            if journals and not path.exists():
                break
            file = _open_locked(path)
            if file is not None:
                journals.append(Journal(path, file, warn))
    except OSError as error:
        raise ReconcileError(f"cannot keep taps in {folder}: {error.strerror}; set --journal") from None
    return journals


def _open_locked(path: Path) -> BinaryIO | None:
    """Open and lock a journal, or return None if another process has locked or deleted it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if not path.exists():  # another process finished and deleted it just now
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "r+b")
