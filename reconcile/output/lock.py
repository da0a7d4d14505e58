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

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError
from reconcile.output.lock_owner import LockOwner, lock_time
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
    lock = _LockHolder(output, LockOwner.of_this_process(run_id), warn)
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


class _LockHolder:
    """Acquires the lock. A separate thread renews the lock and removes it at the end."""

    def __init__(self, output: Output, owner: LockOwner, warn: Callable[[str], None]) -> None:
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
            owner = LockOwner.from_json(data)
            if owner is not None and owner.token == self._owner.token:
                return notice
            notice = self._takeover_notice(owner, self._output.server_time() - stored.modified)
            self._may_be_ours = True
            bucket.replace(LOCK, self._owner.as_json(), stored.etag)
        raise ReconcileError(f"other runs changed {bucket.url(LOCK)} {_TRIES} times in a row; try again later")

    def _takeover_notice(self, owner: LockOwner | None, silent: timedelta) -> str:
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
            data = replace(self._owner, heartbeat=lock_time()).as_json()
            if current is None:  # somebody deleted it by hand
                is_written = bucket.create(LOCK, data)
            else:
                stored, before = current
                owner = LockOwner.from_json(before)
                if owner is not None and owner.token != self._owner.token:
                    self._report_loss(owner)
                    return False
                is_written = bucket.replace(LOCK, data, stored.etag)
            if is_written:
                return True
        return False

    def _report_loss(self, owner: LockOwner) -> None:
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
            owner = None if current is None else LockOwner.from_json(current[1])
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
