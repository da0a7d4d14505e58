"""The run lock: only one run works in `<out>`, and the lock of a dead run is taken over."""

import json
import os
import re
import socket
import subprocess
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from reconcile.errors import ReconcileError
from reconcile.output import lock
from reconcile.output.lock import run_lock
from reconcile.output.store import Output
from tests.conftest import last_line, reconcile, write_bucket
from tests.integration.output.lock_helpers import Delegate, keys, lock_json


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


WRONG_CONTENTS = {
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "text": b'"run"',
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe{}",
    "no keys": b"{}",
    "large": b" " * 5_000_000,
}
WRONG_FIELDS = {
    "pid": ["7", None, 7.5, True, 0, -1, 2**70, [7]],
    "started": [None, 7, ["2026"], {}],
    "host": [None, 7, "x" * 1000],
    "token": [None, 7, {}],
    "run_id": [7, [], "r" * 5000],
    "process_started": [7, []],
}


@pytest.mark.parametrize("location", ["folder"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "content"),
    [({}, content) for content in WRONG_CONTENTS.values()]
    + [({name: value}, None) for name, values in WRONG_FIELDS.items() for value in values],
)
def test_lock_of_wrong_types_is_taken_over_after_the_limit(output, monkeypatch, changes, content):
    output.bucket.put("run.lock", lock_json(output, **changes) if content is None else content)
    refused = r"^\S+ is in use by an unknown run \(last heartbeat \d+ s ago\); try again when it has ended, or has sent"
    with pytest.raises(ReconcileError, match=refused), run_lock(output, "n", print):
        pytest.fail("the lock was taken over")
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    warnings = []
    with run_lock(output, "n", warnings.append):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"
    assert warnings[0].startswith("took over the lock of an unknown run (last heartbeat ")
    assert keys(output) == []


def test_unreadable_lock_holds_until_it_is_stale(output, monkeypatch):
    output.bucket.put("run.lock", b"")
    with pytest.raises(ReconcileError, match="in use by an unknown run"), run_lock(output, "n", print):
        pytest.fail("the lock was taken over")
    monkeypatch.setattr(lock, "STALE_AFTER", timedelta(seconds=-1))
    with run_lock(output, "n", print):
        assert json.loads(output.bucket.read("run.lock")[1])["run_id"] == "n"


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
