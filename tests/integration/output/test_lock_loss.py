"""Heartbeats of the run lock, and the end of a run whose lock was taken over."""

import json
import os
import re
import sys
import threading

import pytest

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError
from reconcile.output import lock
from reconcile.output.lock import run_lock
from reconcile.output.store import Output
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from tests.forked import fork_server
from tests.integration.output.lock_helpers import Delegate, keys, lock_json


def lose_lock(location, environment, foreign, results):
    """Overwrite the own lock until the loss is noticed, and report the error. A signal ends the calling process."""
    os.environ.update(environment)
    output = Output(open_bucket(*location))
    lock.HEARTBEAT_SECONDS = 0.01
    cancellation.install_handlers()
    try:
        with run_lock(output, "n", print):
            while True:  # on a server that ignores conditions, a heartbeat may overwrite the foreign lock
                output.bucket.put("run.lock", foreign)
                cancellation.raise_if_cancelled()  # the signal may have arrived during `put`
                threading.Event().wait(0.2)
    except ReconcileError as error:
        results.put((str(error), cancellation.is_requested()))


def test_owner_stops_when_its_lock_was_taken_over(location, output):
    foreign = lock_json(output, host="far")
    results = fork_server().SimpleQueue()
    process = fork_server().Process(target=lose_lock, args=(location, dict(os.environ), foreign, results))
    process.start()
    process.join(60)
    process.kill()
    process.join()
    assert process.exitcode == 0, "the output of the process is above"
    error, is_requested = results.get()
    assert re.match(r"lost the lock of \S+(out|nightly) to run other \(host far, ", error)
    assert not is_requested, "the command would report a Ctrl-C"
    assert output.bucket.read("run.lock")[1] == foreign


def test_lost_lock_is_reported_even_if_the_work_fails(output, monkeypatch):
    """The signal then arrives while another error is raised."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    lost = threading.Event()
    monkeypatch.setattr(cancellation, "request", lost.set)
    foreign = lock_json(output, host="far")

    def interrupted_join(thread, seconds):
        raise KeyboardInterrupt

    def work():
        with run_lock(output, "n", print):
            while not lost.wait(0.2):
                output.bucket.put("run.lock", foreign)
            monkeypatch.setattr(threading.Thread, "join", interrupted_join)
            raise ValueError("the work failed")

    with pytest.raises(ReconcileError, match=r"^lost the lock of \S+ to run other"):
        work()


class Flaky(Delegate):
    """A bucket that cannot be read while `is_down` is set. It counts failed reads and successful heartbeats."""

    def __init__(self, bucket):
        super().__init__(bucket)
        self.is_down, self.failed, self.heartbeats = False, threading.Semaphore(0), threading.Semaphore(0)

    def read(self, key):
        if self.is_down:
            self.failed.release()
            raise FetchError("no answer")
        return self._bucket.read(key)

    def replace(self, *arguments):
        is_written = self._bucket.replace(*arguments)
        self.heartbeats.release()
        return is_written


@pytest.mark.parametrize("location", ["folder"], indirect=True)
def test_failed_heartbeat_is_repeated_and_the_run_continues(output, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    flaky, warnings = Flaky(output.bucket), []
    with run_lock(Output(flaky), "n", warnings.append):
        for _ in range(2):
            flaky.is_down = True
            for _ in range(3):
                assert flaky.failed.acquire(timeout=30)
            flaky.is_down = False
            while flaky.heartbeats.acquire(blocking=False):
                pass
            assert flaky.heartbeats.acquire(timeout=30)
            while flaky.failed.acquire(blocking=False):
                pass
        output.bucket.delete("run.lock")  # by hand
        while output.bucket.read("run.lock") is None:
            pass
    assert warnings == ["the lock could not be renewed; reconcile keeps trying: no answer"] * 2
    assert keys(output) == []


def test_run_that_lost_its_lock_ends_with_one_line(start_waiting_run, tmp_path):
    fast_heartbeat = (
        "from reconcile.output import lock; lock.HEARTBEAT_SECONDS = 0.1; from reconcile.cli import main; main()"
    )
    process = start_waiting_run("first", sys.executable, "-c", fast_heartbeat)
    path, bucket = tmp_path / "out" / "run.lock", open_bucket(str(tmp_path / "out"), S3Access())
    taken = json.loads(path.read_text()) | {"token": "another", "run_id": "second", "host": "far"}
    # The condition matters: otherwise a heartbeat that is in progress may overwrite the foreign lock.
    while not bucket.replace("run.lock", json.dumps(taken).encode(), bucket.read("run.lock")[0].etag):
        pass
    _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    address, line = log.splitlines()
    assert " s3://b is at http://" in address
    assert line.split(" ", 2)[2].startswith(f"reconcile: lost the lock of {tmp_path / 'out'} to run second (host far, ")
    assert json.loads(path.read_text()) == taken
