"""One run at a time in <out>: a lock that says whose it is, and that outlives no owner for long.

`run.lock` names its owner and is written again every 15 seconds. Nobody's clock is held against another's: how long an
owner has been silent is the time of a probe that was just written minus the time of the lock, and both times are the
store's own (S3's, or the file system's). Owners of this very machine are asked for by their process instead.

The lock is made and changed by conditional writes alone, and is held by whoever reads its own token back. So of two who
take over at once one succeeds, and an owner who was taken for dead and was not (a machine that slept) finds another's
token there and stops. On an S3 server that ignores conditions two runs that start in the same moment may both begin;
the one that wrote first finds out by its next heartbeat.
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
"""An owner that was silent for so long is dead. A heartbeat is two requests, each repeated for two minutes."""
_PATIENCE_SECONDS = 10.0
"""What a run waits at its end for S3 to take the lock away."""
_TRIES = 5


@contextmanager
def run_lock(output: Output, run_id: str | None, warn: Callable[[str], None]) -> Iterator[None]:
    """Work in <out> as the only one.

    Args:
        output: <out>.
        run_id: of the run; None for another command.
        warn: told whose lock was taken over, and when the lock cannot be kept up for now.

    Raises:
        ReconcileError: another is at work, or took this lock over since nothing was heard of us.
    """
    keeper = _LockHolder(output, _Owner.of_this_process(run_id), warn)
    try:
        try:
            keeper.take()
            yield
            keeper.disarm()
        finally:
            keeper.end()
    except BaseException:  # also what the signal raises that comes while the work ends for another reason
        if keeper.lost is None:
            raise
    if keeper.lost is not None:  # which is what the main thread was interrupted for, whether or not it heard
        cancellation.reset()
        raise ReconcileError(keeper.lost)


@dataclass(frozen=True)
class _Owner:
    """Who holds the lock, as JSON in `run.lock`."""

    host: str
    machine: str
    """What a process id is unique in; see `_this_machine`."""
    pid: int
    process_started: str | None
    """By the kernel's own count, where it tells: process ids are used again."""
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
        """None where this is no owner: a lock that was just being written, or is of another version."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def as_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode()

    @property
    def is_of_this_machine(self) -> bool:
        return self.machine == _this_machine()

    @property
    def is_alive_here(self) -> bool:
        """Whether its process is one of this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is somebody else's
            pass
        started = _process_started(self.pid)
        return started is None or self.process_started in (None, started)

    def described(self, heard: str) -> str:
        what = f"run {self.run_id}" if self.run_id else "reconcile prune"
        return f"{what} (host {self.host}, pid {self.pid}, since {self.started.replace('T', ' ')}, {heard})"


class _LockHolder:
    """Takes the lock, keeps it up in a thread of its own, and gives it back there."""

    def __init__(self, output: Output, owner: _Owner, warn: Callable[[str], None]) -> None:
        self._output = output
        self._owner = owner
        self._warn = warn
        self._may_be_ours = False
        self._ended = threading.Event()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="lock", daemon=True)
        self.lost: str | None = None
        """The one line that the work ends with."""

    def take(self) -> None:
        try:
            taken_from = self._take()
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        self._thread.start()
        if taken_from:
            self._warn(taken_from)

    def _take(self) -> str | None:
        """Make the lock ours; returns a line about its last owner, where there was one."""
        bucket = self._output.bucket
        taken_from = None
        for _ in range(_TRIES):
            found = bucket.read(LOCK)
            if found is None:
                self._may_be_ours = True
                bucket.create(LOCK, self._owner.as_json())
                continue
            stored, data = found
            holder = _Owner.from_json(data)
            if holder is not None and holder.token == self._owner.token:
                return taken_from
            taken_from = self._takeover_notice(holder, self._output.server_time() - stored.modified)
            self._may_be_ours = True
            bucket.replace(LOCK, self._owner.as_json(), stored.etag)
        raise ReconcileError(f"{bucket.url(LOCK)} changes hands all the time; try again")

    def _takeover_notice(self, holder: _Owner | None, silent: timedelta) -> str:
        """One line about an owner who is dead.

        Raises:
            ReconcileError: they are not.
        """
        heard = f"last heartbeat {max(silent.total_seconds(), 0):,.0f} s ago"
        who = f"somebody ({heard})" if holder is None else holder.described(heard)
        if holder is not None and holder.is_of_this_machine:
            if not holder.is_alive_here:
                return f"took over the lock of {who}: that process is gone"
            wait = ""
        else:
            if silent > STALE_AFTER:
                return f"took over the lock of {who}: so long a silence is taken for death"
            wait = f", or has been silent for {STALE_AFTER.seconds // 60} minutes"
        raise ReconcileError(f"{self._output.location} is in use by {who}; try again when that has ended{wait}")

    def _keep(self) -> None:
        """The thread: a heartbeat now and then; at the end the lock goes."""
        failed = False
        while not self._ended.wait(HEARTBEAT_SECONDS) and self.lost is None:
            try:
                self._beat()
                failed = False
            except Exception as error:  # whatever it is, the work goes on: nobody takes the lock for ten minutes
                if not failed:
                    self._warn(f"the lock could not be kept up, which is tried again: {error}")
                failed = True
        if self.lost is None:
            self._give_back()

    def _beat(self) -> bool:
        """Write the lock again; whether it could be."""
        bucket = self._output.bucket
        for _ in range(_TRIES):
            found = bucket.read(LOCK)
            data = replace(self._owner, heartbeat=_now()).as_json()
            if found is None:  # somebody removed it by hand
                done = bucket.create(LOCK, data)
            else:
                stored, before = found
                holder = _Owner.from_json(before)
                if holder is not None and holder.token != self._owner.token:
                    self._tell_loss(holder)
                    return False
                done = bucket.replace(LOCK, data, stored.etag)
            if done:
                return True
        return False

    def _tell_loss(self, holder: _Owner) -> None:
        with self._telling:
            if not self._ended.is_set():
                self.lost = (
                    f"lost {self._output.location} to {holder.described('which had not heard of this one for long')}; "
                    "what was done is kept"
                )
                cancellation.request()

    def disarm(self) -> None:
        """The work is done: a loss is of no consequence any more, and nobody is interrupted for it."""
        with self._telling:
            self._ended.set()

    def _give_back(self) -> None:
        """Remove the lock if it is still ours: a heartbeat just before keeps others from it for the moment it takes."""
        try:
            found = self._output.bucket.read(LOCK)
            holder = None if found is None else _Owner.from_json(found[1])
            if holder is None or holder.token != self._owner.token:
                return
            with suppress(ReconcileError):  # the disk is full, which is no reason to leave the lock behind
                self._beat()
            if self.lost is None:
                self._output.bucket.delete(LOCK)
        except Exception as error:
            self._warn(f"the lock could not be removed; the next run takes it over: {error}")

    def end(self) -> None:
        """Give the lock back, in the keeper's thread: nobody waits for long for an S3 that does not answer."""
        self.disarm()
        if not self._may_be_ours:
            return
        if self._thread.ident is None:  # interrupted while it was being taken
            self._thread.start()
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._warn("the lock could not be removed in time; the next run takes it over")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _this_machine() -> str:
    """The host's name, and what tells it from others of that name: its boot; in containers, whose processes it sees."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode():x}"


def _process_started(pid: int) -> str | None:
    """When a process began, in ticks since boot (proc(5), field 22 of stat); "ended" of one that nobody waited for yet.

    None where there is no /proc, or it hides that process.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return "ended" if state in "ZX" else fields[18]
