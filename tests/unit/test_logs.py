"""Run log and progress: plain lines under cron, JSON lines for programs, bars on a terminal."""

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
    """Return a clock that the test sets."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(logs.time, "monotonic", lambda: now.seconds)
    return now


def progress_lines(clock, log_format):
    """Log ten images per second. The listing ends between 30 s and 60 s, and nothing is counted after 60 s."""
    stream = io.StringIO()
    workload = SimpleNamespace(total=400, is_complete=False)
    with RunLog(log_format, "r1", stream).progress("counting", workload) as advance:
        clock.seconds += 30
        advance(300)
        advance.write_line()
        clock.seconds += 30
        workload.total, workload.is_complete = 1000, True
        advance(300)
        advance.write_line()
        clock.seconds += 30
        advance.write_line()
    return stream.getvalue().splitlines()


def test_progress_lines_show_done_total_rate_and_time_left(clock):
    lines = progress_lines(clock, "text")
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ", "", line) for line in lines] == [
        "counting: 300 of at least 400, 10/s, about 10 s left",
        "counting: 600 of 1,000, 10/s, about 40 s left",
        "counting: 600 of 1,000, 7/s; nothing since the last line",
    ]


def test_progress_line_appears_while_nothing_is_done(monkeypatch):
    assert logs.LINE_EVERY_SECONDS == 30
    monkeypatch.setattr(logs, "LINE_EVERY_SECONDS", 0.001)
    written = threading.Event()

    class Stream(io.StringIO):
        def flush(self):
            written.set()

    stream = Stream()
    with RunLog("text", "r1", stream).progress("counting", SimpleNamespace(total=7, is_complete=True)):
        assert written.wait(30)
    assert "counting: 0 of 7, 0/s" in stream.getvalue()


def test_json_progress_line_has_run_and_numbers(clock):
    first, second, _ = (json.loads(line) for line in progress_lines(clock, "json"))
    assert first["run_id"] == second["run_id"] == "r1"
    assert (second["done"], second["total"], second["per_second"]) == (600, 1000, 10.0)


def test_failures_are_limited_in_text_but_not_in_json():
    for log_format, named in (("text", logs.NAMED_IN_TEXT), ("json", 50)):
        stream = io.StringIO()
        with RunLog(log_format, "r1", stream).failures("photos", "count") as log_failure:
            for number in range(50):
                log_failure(f"bin-images/{number}\n.jpg", "the object is empty")
        lines = stream.getvalue().splitlines()
        assert len([line for line in lines if "the object is empty" in line]) == named
        if log_format == "json":
            line = json.loads(lines[7])
            assert (line["level"], line["stage"], line["key"], line["reason"]) == (
                "warning", "count", "bin-images/7\n.jpg", "the object is empty",
            )  # fmt: skip
            assert len(lines) == 50
        else:
            assert lines[7].endswith("Z warning: bin-images/7?.jpg: the object is empty")
            assert lines[-1].endswith("warning: 30 more photos could not be read; reconciled.parquet has the reasons")


def test_full_disk_under_the_log_raises_nothing():
    with Path("/dev/full").open("w") as full:
        RunLog("text", "r1", full).info("counting")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_error_line_has_a_time_except_on_a_terminal():
    stream = io.StringIO()
    RunLog("text", "r1", stream).error("no such bucket")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ reconcile: no such bucket\n", stream.getvalue())
    stream = io.StringIO()
    stream.isatty = lambda: True
    RunLog("text", "r1", stream).error("no such bucket")
    assert stream.getvalue() == "reconcile: no such bucket\n"


def read_terminal(leader: int) -> str:
    """Return everything that was written to a terminal whose other end is closed."""
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # on Linux, the end of a terminal is an input/output error
            chunk = b""
        if not chunk:
            return shown.decode()
        shown += chunk


def test_bar_on_a_terminal_shows_how_many_are_done(monkeypatch):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        workload = SimpleNamespace(total=200, is_complete=True)
        log = RunLog("text", "r1")
        with log.progress("counting", workload) as advance:
            advance(150)
            log.info("photos listed")
    shown = read_terminal(leader)
    os.close(leader)
    assert "counting" in shown
    assert "150/200" in shown
    assert re.search(r"\r\x1b\[2K\d\d:\d\d:\d\d photos listed\r\n", shown), "the line is above the bar, not in it"


def test_two_bars_appear_under_each_other(monkeypatch):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm-256color")
        log = RunLog("text", "r1")
        with log.progress("reading records", SimpleNamespace(total=40, is_complete=True)) as read:
            with log.progress("counting", SimpleNamespace(total=200, is_complete=True)) as counted:
                counted(150)
                read(30)
            log.info("photos counted")
            read(10)
    shown = read_terminal(leader)
    os.close(leader)
    assert re.search(r"reading records [^\n]*40/40[^\n]*\n[^\n]*counting [^\n]*150/200", shown)
    assert "photos counted\r\n" in shown
