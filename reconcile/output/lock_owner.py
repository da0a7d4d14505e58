"""The owner of the run lock: which process of which machine, and whether it still runs."""

from __future__ import annotations

import json
import os
import platform
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError

_Text = Annotated[str, Field(max_length=300)]
_ProcessId = Annotated[int, Field(gt=0, lt=2**31)]


@dataclass(frozen=True)
class LockOwner:
    """The owner of a lock. Its fields are the keys of the JSON in `run.lock`."""

    host: _Text
    machine: _Text
    """The scope in which process ids are unique; see `_this_machine`."""
    pid: _ProcessId
    process_started: _Text | None
    """When the process started, by the kernel's clock, because process ids are reused. None if it is unknown."""
    run_id: _Text | None
    started: _Text
    heartbeat: _Text
    token: _Text = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of_this_process(cls, run_id: str | None) -> Self:
        """Return this process as an owner. `run_id` is None for `reconcile prune`."""
        pid, now = os.getpid(), lock_time()
        return cls(platform.node(), _this_machine(), pid, _process_started(pid), run_id, now, now)

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """Return the owner, or None if the lock is just being written, or something else than reconcile wrote it."""
        try:
            owner: Self = TypeAdapter(cls).validate_json(data, strict=True)
        except ValidationError:
            return None
        return owner

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
