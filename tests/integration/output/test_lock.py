"""Of several runs into one <out>, one works; the others say whose it is, and a dead one's place is taken."""

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
def place(request, tmp_path):
    """Where <out> is: a folder, S3, or an S3 server that ignores conditions."""
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
def output(place):
    return Output(open_bucket(*place, create=True))


def keys(output):
    return [stored.key for page in output.bucket.list_pages() for stored in page]


def owner(output, **changes):
    """The JSON of this process's lock, with changes."""
    with run_lock(output, "other", pytest.fail):
        _, data = output.bucket.read("run.lock")
    return json.dumps(json.loads(data) | {"token": "another"} | changes).encode()


def test_while_one_is_at_work_another_is_told_whose_it_is(output):
    with run_lock(output, "first", pytest.fail):
        for name in ("second", None):
            with pytest.raises(ReconcileError) as told, run_lock(output, name, pytest.fail):
                pytest.fail("both are at work")
        who = (
            rf"run first \(host {re.escape(socket.gethostname())}, pid {os.getpid()}, since 20\S+ \S+Z, last heartbeat"
        )
        assert re.search(who + r" \d+ s ago\); try again when that has ended$", str(told.value))
        assert keys(output) == ["run.lock"]
    assert keys(output) == []
    with pytest.raises(ZeroDivisionError), run_lock(output, "second", pytest.fail):
        raise ZeroDivisionError
    assert keys(output) == []


def test_a_lock_of_another_machine_holds_until_it_was_silent_for_long(output, monkeypatch):
    # Whatever its clock says: only the store's counts.
    foreign = owner(output, machine="elsewhere", host="far", started="2001-01-01T00:00:00Z", heartbeat="2001-01-01")
    output.bucket.put("run.lock", foreign)
    with (
        pytest.raises(ReconcileError, match=r"host far.*or has been silent for 10 minutes"),
        run_lock(output, "n", print),
    ):
        pytest.fail("it was taken")
    assert output.bucket.read("run.lock")[1] == foreign
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    told = []
    with run_lock(output, "n", told.append):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"
    assert re.match(r"took over the lock of run other \(host far, .*so long a silence", told[0])
    assert keys(output) == []


def test_a_lock_that_says_nothing_holds_until_it_was_silent_for_long(output, monkeypatch):
    output.bucket.put("run.lock", b"")
    with pytest.raises(ReconcileError, match="in use by somebody"), run_lock(output, "n", print):
        pytest.fail("it was taken")
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    with run_lock(output, "n", print):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"


def lose(place, environment, foreign, told):
    """In a process of its own, since a signal stops it: lose <out> until that is noticed, and tell what came of it."""
    os.environ.update(environment)
    output = Output(open_bucket(*place))
    lock.HEARTBEAT_SECONDS = 0.01
    cancellation.install_handlers()
    try:
        with run_lock(output, "n", print):
            while True:  # a heartbeat may be under way, and on a server without conditions it still lands
                output.bucket.put("run.lock", foreign)
                cancellation.raise_if_cancelled()  # `put` may have heard the signal first
                threading.Event().wait(0.2)
    except ReconcileError as error:
        told.put((str(error), cancellation.is_requested()))


def test_who_was_taken_for_dead_and_was_not_stops_and_leaves_the_lock_alone(place, output):
    foreign = owner(output, host="far")
    told = fork_server().SimpleQueue()
    process = fork_server().Process(target=lose, args=(place, dict(os.environ), foreign, told))
    process.start()
    process.join(60)
    process.kill()
    process.join()
    assert process.exitcode == 0, "what it said is above"
    error, is_requested = told.get()
    assert re.match(r"lost \S+(out|nightly) to run other \(host far, ", error)
    assert not is_requested, "or it would be told as a Ctrl-C"
    assert output.bucket.read("run.lock")[1] == foreign


def test_a_loss_that_is_told_while_the_work_fails_is_what_is_told(output, monkeypatch):
    """The signal then comes where nothing waits for it."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    lost = threading.Event()
    monkeypatch.setattr(cancellation, "request", lost.set)
    foreign = owner(output, host="far")

    def joined(thread, seconds):
        raise KeyboardInterrupt

    def work():
        with run_lock(output, "n", print):
            while not lost.wait(0.2):
                output.bucket.put("run.lock", foreign)
            monkeypatch.setattr(threading.Thread, "join", joined)
            raise ValueError("the work failed")

    with pytest.raises(ReconcileError, match=r"^lost \S+ to run other"):
        work()


class Delegate:
    """A bucket that does what another does."""

    def __init__(self, bucket):
        self._bucket = bucket

    def __getattr__(self, name):
        return getattr(self._bucket, name)


class Meeting(Delegate):
    """Lets nobody write the lock before all have looked."""

    def __init__(self, bucket, parties):
        super().__init__(bucket)
        self._all, self._met = threading.Barrier(parties), threading.local()

    def _meet(self):
        if threading.current_thread().name != "lock" and not hasattr(self._met, "once"):
            self._met.once = True
            self._all.wait(30)

    def create(self, *arguments):
        self._meet()
        return self._bucket.create(*arguments)

    def replace(self, *arguments):
        self._meet()
        return self._bucket.replace(*arguments)


@pytest.mark.parametrize("place", ["folder", "moto"], indirect=True)
@pytest.mark.parametrize("is_there", [False, True])
def test_of_several_at_once_one_gets_it(output, is_there, monkeypatch):
    if is_there:
        output.bucket.put("run.lock", owner(output, process_started="long ago"))
    meeting, started, ended = Meeting(output.bucket, 5), [], threading.Barrier(6)

    def work(name):
        with suppress(ReconcileError), run_lock(Output(meeting), name, print):
            started.append(name)
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
    """Cannot be read for a while; counts how often that was tried, and heartbeats."""

    def __init__(self, bucket):
        super().__init__(bucket)
        self.is_down, self.failed, self.beaten = False, threading.Semaphore(0), threading.Semaphore(0)

    def read(self, key):
        if self.is_down:
            self.failed.release()
            raise FetchError("no answer")
        return self._bucket.read(key)

    def replace(self, *arguments):
        done = self._bucket.replace(*arguments)
        self.beaten.release()
        return done


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_heartbeat_that_fails_is_tried_again_and_ends_nothing(output, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.01)
    flaky, told = Flaky(output.bucket), []
    with run_lock(Output(flaky), "n", told.append):
        for _ in range(2):
            flaky.is_down = True
            for _ in range(3):
                assert flaky.failed.acquire(timeout=30)
            flaky.is_down = False
            while flaky.beaten.acquire(blocking=False):
                pass
            assert flaky.beaten.acquire(timeout=30)
            while flaky.failed.acquire(blocking=False):
                pass
        output.bucket.delete("run.lock")  # by hand
        while output.bucket.read("run.lock") is None:
            pass
    assert told == ["the lock could not be kept up, which is tried again: no answer"] * 2
    assert keys(output) == []


@pytest.mark.parametrize("place", ["folder", "moto"], indirect=True)
def test_a_dead_process_of_this_machine_is_replaced_at_once(output):
    ended = subprocess.Popen(["true"])
    unburied = subprocess.Popen(["true"])
    ended.wait()
    os.waitid(os.P_PID, unburied.pid, os.WEXITED | os.WNOWAIT)
    began = Path(f"/proc/{unburied.pid}/stat").read_text().split()[21]
    for changes in ({"pid": ended.pid}, {"pid": unburied.pid, "process_started": began}, {"process_started": "1"}):
        output.bucket.put("run.lock", owner(output, **changes))
        told = []
        with run_lock(output, "n", told.append):
            pass
        [line] = told
        assert line.startswith("took over the lock of run other (host ")
        assert line.endswith("that process is gone")
    unburied.wait()


@pytest.fixture
def waiting(grey_model):
    """Starts runs into ./out that have listed nothing yet, and wait for an S3 that never answers."""
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


def test_a_second_run_ends_at_once_and_the_next_after_a_kill_takes_over(waiting, grey_model, tmp_path):
    arguments = ["--bucket", write_bucket(tmp_path / "w", {"1": (1, 1)}), "--model", grey_model, "--out", "out"]
    first = waiting("first")
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


def test_a_run_that_lost_its_lock_says_so_in_one_line(waiting, tmp_path):
    eager = "from reconcile.output import lock; lock.HEARTBEAT_SECONDS = 0.1; from reconcile.cli import main; main()"
    process = waiting("first", sys.executable, "-c", eager)
    path, bucket = tmp_path / "out" / "run.lock", open_bucket(str(tmp_path / "out"), S3Access())
    taken = json.loads(path.read_text()) | {"token": "another", "run_id": "second", "host": "far"}
    # A heartbeat that is under way would write over a file that was put there without a condition.
    while not bucket.replace("run.lock", json.dumps(taken).encode(), bucket.read("run.lock")[0].etag):
        pass
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told.count("\n") == 1
    line = last_line(told)
    assert line.startswith(f"reconcile: lost {tmp_path / 'out'} to run second (host far, ")
    assert json.loads(path.read_text()) == taken
