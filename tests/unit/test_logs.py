"""What a run tells while it works: plain lines under cron, JSON for machines, a bar on a terminal."""

import io
import json
import os
import pty
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconcile import logs
from reconcile.logs import RunLog


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(logs.time, "monotonic", lambda: now.seconds)
    return now


def counting(clock, log_format):
    """Ten images a second; after 30 s the listing is still going on, after 60 s it is not, and then nothing is."""
    stream = io.StringIO()
    workload = SimpleNamespace(total=400, is_complete=False)
    with RunLog(log_format, "r1", stream).progress("counting", workload) as advance:
        clock.seconds += 30
        advance(300)
        advance.tell()
        clock.seconds += 30
        workload.total, workload.is_complete = 1000, True
        advance(300)
        advance.tell()
        clock.seconds += 30
        advance.tell()
    return stream.getvalue().splitlines()


def test_plain_lines_say_how_far_it_is(clock):
    lines = counting(clock, "text")
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ", "", line) for line in lines] == [
        "counting: 300 of at least 400, 10/s, about 10 s left",
        "counting: 600 of 1,000, 10/s, about 40 s left",
        "counting: 600 of 1,000, 7/s; nothing since the last line",
    ]


def test_a_line_comes_every_thirty_seconds_also_when_nothing_gets_done(monkeypatch):
    assert logs.LINE_EVERY_SECONDS == 30
    monkeypatch.setattr(logs, "LINE_EVERY_SECONDS", 0.001)
    told = threading.Event()

    class Stream(io.StringIO):
        def flush(self):
            told.set()

    stream = Stream()
    with RunLog("text", "r1", stream).progress("counting", SimpleNamespace(total=7, is_complete=True)):
        assert told.wait(30)
    assert "counting: 0 of 7, 0/s" in stream.getvalue()


def test_the_same_as_json(clock):
    first, second, _ = (json.loads(line) for line in counting(clock, "json"))
    assert first["run_id"] == second["run_id"] == "r1"
    assert (second["done"], second["total"], second["per_second"]) == (600, 1000, 10.0)


def test_objects_that_fail_are_named_a_few_to_a_person_all_to_a_machine():
    for log_format, named in (("text", logs.NAMED_IN_TEXT), ("json", 50)):
        stream = io.StringIO()
        with RunLog(log_format, "r1", stream).failures("photos", "count") as complain:
            for number in range(50):
                complain(f"bin-images/{number}\n.jpg", "the object is empty")
        lines = stream.getvalue().splitlines()
        assert len([line for line in lines if "the object is empty" in line]) == named
        if log_format == "json":
            told = json.loads(lines[7])
            assert (told["level"], told["stage"], told["key"], told["reason"]) == (
                "warning", "count", "bin-images/7\n.jpg", "the object is empty",
            )  # fmt: skip
            assert len(lines) == 50
        else:
            assert lines[7].endswith("Z warning: bin-images/7?.jpg: the object is empty")
            assert lines[-1].endswith("warning: 30 more photos could not be read; reconciled.parquet says why")


def test_a_log_that_cannot_be_written_stops_nobody():
    with Path("/dev/full").open("w") as full:
        RunLog("text", "r1", full).info("counting")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_the_last_line_has_a_time_in_a_log_and_none_on_a_terminal():
    stream = io.StringIO()
    RunLog("text", "r1", stream).error("no such bucket")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ reconcile: no such bucket\n", stream.getvalue())
    stream = io.StringIO()
    stream.isatty = lambda: True
    RunLog("text", "r1", stream).error("no such bucket")
    assert stream.getvalue() == "reconcile: no such bucket\n"


def everything_from(leader: int) -> str:
    """All that a terminal was given, once its other end is closed."""
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux tells the end of a terminal as an input/output error
            chunk = b""
        if not chunk:
            return shown.decode()
        shown += chunk


def test_a_bar_on_a_terminal_shows_how_many_are_done(monkeypatch):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        workload = SimpleNamespace(total=200, is_complete=True)
        told = RunLog("text", "r1")
        with told.progress("counting", workload) as advance:
            advance(150)
            told.info("photos listed")
    shown = everything_from(leader)
    os.close(leader)
    assert "counting" in shown
    assert "150/200" in shown
    assert re.search(r"\r\x1b\[2K\d\d:\d\d:\d\d photos listed\r\n", shown), "above the bar, and not into it"


def test_two_bars_stand_under_each_other(monkeypatch):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        told = RunLog("text", "r1")
        with told.progress("reading records", SimpleNamespace(total=40, is_complete=True)) as read:
            with told.progress("counting", SimpleNamespace(total=200, is_complete=True)) as counted:
                counted(150)
                read(30)
            told.info("photos counted")
            read(10)
    shown = everything_from(leader)
    os.close(leader)
    assert re.search(r"reading records [^\n]*40/40[^\n]*\n[^\n]*counting [^\n]*150/200", shown)
    assert "photos counted\r\n" in shown
