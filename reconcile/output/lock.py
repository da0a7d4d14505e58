"""The run lock: one writer per `<out>`.

The file `run.lock` names its owner, who rewrites it every 15 seconds (the heartbeat). The age of a heartbeat is the
time of a new probe object minus the time of the lock. Both times come from the clock of the store (S3 or the file
system), so clock skew between machines does not matter. If the owner is on this machine, its process is looked up
instead.

The lock is created and changed with conditional writes only. A run owns the lock if it reads back the token that it
wrote. So if two runs take over at the same time, one of them succeeds. If an owner counted as dead but was alive, for
example because its machine slept, it finds another token and stops. On an S3 server that ignores conditions, two runs
that start in the same moment may both begin. The run that wrote first then stops at its next heartbeat.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError
from reconcile.output.store import LOCK
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.output.store import Output


HEARTBEAT_SECONDS = 15.0
STALE_AFTER = timedelta(minutes=10)
"""An owner without a heartbeat for this long counts as dead. A heartbeat is two requests of up to two minutes each."""
_PATIENCE_SECONDS = 10.0
"""The seconds that a run waits at its end for S3 to delete the lock."""
_TRIES = 5


@contextmanager
def run_lock(output: Output, run_id: str | None, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of `<out>` inside this context.

    If another owner takes over the lock, the main thread is interrupted.

    Args:
        output: `<out>`.
        run_id: the id of the run, or None for `reconcile prune`.
        warn: called with a message when the lock of a dead owner was taken over, and when the lock cannot be renewed or
            removed.

    Raises:
        ReconcileError: another owner holds the lock, or took it over because it saw no heartbeat of this one.
    """
    lock = _LockHolder(output, _Owner.of_this_process(run_id), warn)
    try:
        try:
            lock.acquire()
            yield
            lock.disarm()
        finally:
            lock.release()
    except BaseException:  # also the KeyboardInterrupt of `request`, which may come while another error is raised
        if lock.lost is None:
            raise
    if lock.lost is not None:  # the reason for the interruption, even if the main thread never noticed it
        cancellation.reset()
        raise ReconcileError(lock.lost)


@dataclass(frozen=True)
class _Owner:
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
        pid, now = os.getpid(), _now()
        return cls(platform.node(), _this_machine(), pid, _process_started(pid), run_id, now, now)

    @classmethod
    def from_json(cls, data: bytes) -> Self | None:
        """Return the owner, or None if the lock is just being written or another version wrote it."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def as_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode()

    @property
    def is_on_this_machine(self) -> bool:
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


class _LockHolder:
    """Acquires the lock. A separate thread renews the lock and removes it at the end."""

    def __init__(self, output: Output, owner: _Owner, warn: Callable[[str], None]) -> None:
        self._output = output
        self._owner = owner
        self._warn = warn
        self._may_be_ours = False
        self._ended = threading.Event()
        self._loss_guard = threading.Lock()
        self._thread = threading.Thread(target=self._renew_until_ended, name="lock", daemon=True)
        self.lost: str | None = None
        """The error message if another owner took over, else None."""

    def acquire(self) -> None:
        try:
            notice = self._acquire()
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        self._thread.start()
        if notice:
            self._warn(notice)

    def _acquire(self) -> str | None:
        """Write the lock until it reads back as ours. Return a message about a dead owner, or None.

        Raises:
            ReconcileError: another owner is alive.
        """
        bucket = self._output.bucket
        notice = None
        for _ in range(_TRIES):
            current = bucket.read(LOCK)
            if current is None:
                self._may_be_ours = True
                bucket.create(LOCK, self._owner.as_json())
                continue
            stored, data = current
            owner = _Owner.from_json(data)
            if owner is not None and owner.token == self._owner.token:
                return notice
            notice = self._takeover_notice(owner, self._output.server_time() - stored.modified)
            self._may_be_ours = True
            bucket.replace(LOCK, self._owner.as_json(), stored.etag)
        raise ReconcileError(f"other runs changed {bucket.url(LOCK)} {_TRIES} times in a row; try again later")

    def _takeover_notice(self, owner: _Owner | None, silent: timedelta) -> str:
        """Return a message about an owner that is dead.

        Args:
            owner: the owner, or None if the lock cannot be parsed.
            silent: the age of the last heartbeat.

        Raises:
            ReconcileError: the owner is alive, or may be.
        """
        heartbeat = f"last heartbeat {max(silent.total_seconds(), 0):,.0f} s ago"
        who = f"an unknown run ({heartbeat})" if owner is None else owner.describe(heartbeat)
        limit = f"{STALE_AFTER.seconds // 60} minutes"
        if owner is not None and owner.is_on_this_machine:
            if not owner.is_running:
                return f"took over the lock of {who}, because its process has ended"
            advice = "try again when it has ended"
        else:
            if silent > STALE_AFTER:
                return f"took over the lock of {who}, because it sent no heartbeat for {limit}"
            advice = f"try again when it has ended, or has sent no heartbeat for {limit}"
        raise ReconcileError(f"{self._output.location} is in use by {who}; {advice}")

    def _renew_until_ended(self) -> None:
        """Renew the lock at intervals, and remove it at the end. This runs in the thread."""
        failed = False
        while not self._ended.wait(HEARTBEAT_SECONDS) and self.lost is None:
            try:
                self._renew()
                failed = False
            except Exception as error:  # the run continues, because nobody takes over the lock for ten minutes
                if not failed:
                    self._warn(f"the lock could not be renewed; reconcile keeps trying: {error}")
                failed = True
        if self.lost is None:
            self._remove()

    def _renew(self) -> bool:
        """Write the lock again, and return whether that succeeded."""
        bucket = self._output.bucket
        for _ in range(_TRIES):
            current = bucket.read(LOCK)
            data = replace(self._owner, heartbeat=_now()).as_json()
            if current is None:  # somebody deleted it by hand
                is_written = bucket.create(LOCK, data)
            else:
                stored, before = current
                owner = _Owner.from_json(before)
                if owner is not None and owner.token != self._owner.token:
                    self._report_loss(owner)
                    return False
                is_written = bucket.replace(LOCK, data, stored.etag)
            if is_written:
                return True
        return False

    def _report_loss(self, owner: _Owner) -> None:
        with self._loss_guard:
            if not self._ended.is_set():
                detail = "which saw no heartbeat of this process for too long"
                kept = "finished work is kept, and the other process continues"
                self.lost = f"lost the lock of {self._output.location} to {owner.describe(detail)}; {kept}"
                cancellation.request()

    def disarm(self) -> None:
        """Ignore a lost lock from now on: all results have been written."""
        with self._loss_guard:
            self._ended.set()

    def _remove(self) -> None:
        """Remove the lock if it is still ours. A heartbeat right before keeps others from taking it over meanwhile."""
        try:
            current = self._output.bucket.read(LOCK)
            owner = None if current is None else _Owner.from_json(current[1])
            if owner is None or owner.token != self._owner.token:
                return
            with suppress(ReconcileError):  # the lock must be removed, also on a full disk
                self._renew()
            if self.lost is None:
                self._output.bucket.delete(LOCK)
        except Exception as error:
            self._warn(f"the lock could not be removed; the next run will take it over: {error}")

    def release(self) -> None:
        """Let the thread remove the lock, and wait for a limited time, because S3 may not answer."""
        self.disarm()
        if not self._may_be_ours:
            return
        if self._thread.ident is None:  # `acquire` was interrupted
            self._thread.start()
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._warn("the lock could not be removed in time; the next run will take it over")


def _now() -> str:
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
