"""The run lock: only one run works in `<out>`, and the lock of a dead run is taken over."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError
from reconcile.output import lock
from reconcile.output.lock import run_lock
from reconcile.output.store import Output
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import SCRIPTS, last_line, reconcile, write_bucket
from tests.forked import fork_server


@pytest.fixture(params=["folder", "moto", "rclone"])
def location(request, tmp_path):
    """Return `<out>` and the access to it: a folder, S3, or an S3 server that ignores conditions."""
    if request.param == "folder":
        return str(tmp_path / "out"), S3Access()
    if request.param == "moto":
        import boto3

        access = request.getfixturevalue("moto")
        client = boto3.client("s3", endpoint_url=access.endpoint_url, region_name="us-east-1")
        client.create_bucket(Bucket="results")
    else:
        server = request.getfixturevalue("s3")
        (server.root / "results").mkdir()
        access = S3Access(endpoint_url=server.endpoint_url)
    return "s3://results/nightly", access


@pytest.fixture
def output(location):
    return Output(open_bucket(*location, create=True))


def keys(output):
    return [stored.key for page in output.bucket.list_pages() for stored in page]


def lock_json(output, **changes):
    """Return the JSON of a lock of this process with another token and these changes."""
    with run_lock(output, "other", pytest.fail):
        _, data = output.bucket.read("run.lock")
    return json.dumps(json.loads(data) | {"token": "another"} | changes).encode()


def test_second_run_is_refused_with_the_name_of_owner(output):
    with run_lock(output, "first", pytest.fail):
        for run_id in ("second", None):
            with pytest.raises(ReconcileError) as refusal, run_lock(output, run_id, pytest.fail):
                pytest.fail("two runs hold the lock")
        owner = (
            rf"run first \(host {re.escape(socket.gethostname())}, pid {os.getpid()}, since 20\S+ \S+Z, last heartbeat"
        )
        assert re.search(owner + r" \d+ s ago\); try again when it has ended$", str(refusal.value))
        assert keys(output) == ["run.lock"]
    assert keys(output) == []
    with pytest.raises(ZeroDivisionError), run_lock(output, "second", pytest.fail):
        raise ZeroDivisionError
    assert keys(output) == []


def test_lock_of_another_machine_holds_until_it_is_stale(output, monkeypatch):
    # The clock of the other machine does not matter, only the clock of the store.
    foreign = lock_json(output, machine="elsewhere", host="far", started="2001-01-01T00:00:00Z", heartbeat="2001-01-01")
    output.bucket.put("run.lock", foreign)
    with (
        pytest.raises(
            ReconcileError, match=r"host far.*try again when it has ended, or has sent no heartbeat for 10 minutes$"
        ),
        run_lock(output, "n", print),
    ):
        pytest.fail("the lock was taken over")
    assert output.bucket.read("run.lock")[1] == foreign
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    warnings = []
    with run_lock(output, "n", warnings.append):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"
    assert re.match(r"took over the lock of run other \(host far, .*\), because it sent no heartbeat for", warnings[0])
    assert keys(output) == []


def test_unreadable_lock_holds_until_it_is_stale(output, monkeypatch):
    output.bucket.put("run.lock", b"")
    with pytest.raises(ReconcileError, match="in use by an unknown run"), run_lock(output, "n", print):
        pytest.fail("the lock was taken over")
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    with run_lock(output, "n", print):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"


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


class Delegate:
    """A bucket that passes every call on to another."""

    def __init__(self, bucket):
        self._bucket = bucket

    def __getattr__(self, name):
        return getattr(self._bucket, name)


class SimultaneousWriters(Delegate):
    """A bucket in which nobody writes the lock before all have read it."""

    def __init__(self, bucket, writers):
        super().__init__(bucket)
        self._barrier, self._local = threading.Barrier(writers), threading.local()

    def _wait_for_all(self):
        if threading.current_thread().name != "lock" and not hasattr(self._local, "has_waited"):
            self._local.has_waited = True
            self._barrier.wait(30)

    def create(self, *arguments):
        self._wait_for_all()
        return self._bucket.create(*arguments)

    def replace(self, *arguments):
        self._wait_for_all()
        return self._bucket.replace(*arguments)


@pytest.mark.parametrize("location", ["folder", "moto"], indirect=True)
@pytest.mark.parametrize("has_dead_owner", [False, True])
def test_one_of_several_simultaneous_runs_gets_the_lock(output, has_dead_owner):
    if has_dead_owner:
        output.bucket.put("run.lock", lock_json(output, process_started="long ago"))
    bucket, started, ended = SimultaneousWriters(output.bucket, 5), [], threading.Barrier(6)

    def work(run_id):
        with suppress(ReconcileError), run_lock(Output(bucket), run_id, print):
            started.append(run_id)
            ended.wait(30)
            return
        ended.wait(30)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
    ended.wait(30)
    for thread in threads:
        thread.join()
    assert len(started) == 1
    assert keys(output) == []


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


@pytest.mark.parametrize("location", ["folder", "moto"], indirect=True)
def test_lock_of_a_dead_local_process_is_taken_over(output):
    ended = subprocess.Popen(["true"])
    zombie = subprocess.Popen(["true"])
    ended.wait()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    started = Path(f"/proc/{zombie.pid}/stat").read_text().split()[21]
    for changes in ({"pid": ended.pid}, {"pid": zombie.pid, "process_started": started}, {"process_started": "1"}):
        output.bucket.put("run.lock", lock_json(output, **changes))
        warnings = []
        with run_lock(output, "n", warnings.append):
            pass
        [warning] = warnings
        assert warning.startswith("took over the lock of run other (host ")
        assert warning.endswith("), because its process has ended")
    zombie.wait()


@pytest.fixture
def start_waiting_run(grey_model):
    """Return a function that starts a run into ./out. The run waits for a listing from an S3 that never answers."""
    processes = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def start(run_id, *command):
            command = command or (str(SCRIPTS / "reconcile"),)
            arguments = ["run", "--bucket", "b", "--endpoint-url", url, "--model", str(grey_model), "--out", "out"]
            process = subprocess.Popen([*command, *arguments, "--run-id", run_id], stderr=subprocess.PIPE, text=True)
            processes.append(process)
            assert f"run {run_id}:" in process.stderr.readline()
            return process

        yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def test_second_run_fails_and_after_a_kill_takes_over(start_waiting_run, grey_model, tmp_path):
    arguments = ["--bucket", write_bucket(tmp_path / "w", {"1": (1, 1)}), "--model", grey_model, "--out", "out"]
    first = start_waiting_run("first")
    second = reconcile("run", *arguments)
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    line = last_line(second.stderr)
    assert line.startswith(f"reconcile: {tmp_path / 'out'} is in use by run first (host ")
    assert f"pid {first.pid}, since 20" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.lock"]
    first.kill()
    first.wait()
    third = reconcile("run", *arguments)
    assert third.returncode == 0, third.stderr
    assert "warning: took over the lock of run first (host " in third.stderr.splitlines()[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["counts", "records", "runs"]


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
