"""The owner of the run lock: which process of which machine, and whether it still runs."""

from __future__ import annotations

import json
import os
import platform
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

_TEXTS, _TEXTS_OR_NULL = ("host", "machine", "started", "heartbeat", "token"), ("process_started", "run_id")
_MOST_CHARACTERS = 300
_MAX_PID = 2**31 - 1


@dataclass(frozen=True)
class LockOwner:
    """The owner of a lock. Its fields are the keys of the JSON in `run.lock`."""

    host: str
    machine: str
    """The scope in which process ids are unique; see `_this_machine`."""
    pid: int
    process_started: str | None
    """When the process started, by the kernel's clock, because process ids are reused. None if it is unknown."""
    run_id: str | None
    started: str
    heartbeat: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of_this_process(cls, run_id: str | None) -> Self:
        """Return this process as an owner. `run_id` is None for `reconcile prune`."""
        pid, now = os.getpid(), lock_time()
        return cls(platform.node(), _this_machine(), pid, _process_started(pid), run_id, now, now)

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """Return the owner, or None if the lock is just being written, or something else than this version wrote it."""
        try:
            owner = cls(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None
        return owner if owner._has_valid_fields else None

    @property
    def _has_valid_fields(self) -> bool:
        values = vars(self)
        return (
            all(_is_text(values[name]) for name in _TEXTS)
            and all(values[name] is None or _is_text(values[name]) for name in _TEXTS_OR_NULL)
            and type(self.pid) is int
            and 0 < self.pid <= _MAX_PID
        )

    def as_json(self) -> bytes:
        """Return the content of `run.lock`."""
        return json.dumps(asdict(self), indent=2).encode()

    @property
    def is_on_this_machine(self) -> bool:
        """Return whether the owner's process id can be looked up here."""
        return self.machine == _this_machine()

    @property
    def is_running(self) -> bool:
        """Return whether the owner's process still runs on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # the process belongs to another user
            pass
        started = _process_started(self.pid)
        return started is None or self.process_started in (None, started)

    def describe(self, detail: str) -> str:
        """Return the owner's run, host, process and start, and a detail, as text."""
        work = f"run {self.run_id}" if self.run_id else "reconcile prune"
        return f"{work} (host {self.host}, pid {self.pid}, since {self.started.replace('T', ' ')}, {detail})"


def lock_time() -> str:
    """Return the current time in the form of the lock."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_CHARACTERS


def _this_machine() -> str:
    """Return a text that identifies this machine: the host's name, its boot, and the namespace of its process ids.

    Containers may share the host's name, but they do not see each other's processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode():x}"


def _process_started(pid: int) -> str | None:
    """Return the start of a process in ticks since boot, from field 22 of /proc/PID/stat; see proc(5).

    Returns:
        "ended" for a process that has ended but was not waited for. None if there is no /proc, or it hides the process.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return "ended" if state in "ZX" else fields[18]
