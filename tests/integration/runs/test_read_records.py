"""Records are read while photos are counted, and whatever ends the counting leaves no record that was read behind."""

import io
import threading
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest

from reconcile.concurrency import cancellation
from reconcile.concurrency.cancellation import Interrupted
from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.inputs import backlog
from reconcile.logs import RunLog
from reconcile.output.store import Output
from reconcile.pipeline.context import open_run
from reconcile.pipeline.run import run
from reconcile.streaming import read_records, write_parts
from reconcile.streaming.read_records import RecordReader
from tests.conftest import write_bucket

BINS = {f"{n:05d}": (n % 7, n % 7) for n in range(45)}


class Endless:
    """A bucket whose listing of records goes on until it is told to end, or breaks then."""

    def __init__(self, bucket, listed, error=None):
        self._bucket, self._listed, self._error = bucket, listed, error

    def __getattr__(self, name):
        return getattr(self._bucket, name)

    def list_pages(self, prefix=""):
        yield from self._bucket.list_pages(prefix)
        if prefix == "metadata/":
            self._listed.wait(60)
            if self._error is not None:
                raise self._error


class Following(RunLog):
    """What a run tells, and how many records it has read so far."""

    def __init__(self, told):
        super().__init__("text", "a", told)
        self.read = 0

    @contextmanager
    def progress(self, what, workload, **fields):
        with super().progress(what, workload, **fields) as advance:

            def follow(done):
                advance(done)
                self.read += done if what == "reading records" else 0

            yield follow


class Slow:
    """The engine of a run, which does something before it counts."""

    def __init__(self, engine, before):
        self._engine, self._before = engine, before

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def count(self, *arguments):
        self._before()
        return self._engine.count(*arguments)


@pytest.fixture
def told():
    """The log of the run."""
    return io.StringIO()


@pytest.fixture
def listed(monkeypatch):
    """Whether the listing of records may end."""
    monkeypatch.setattr(backlog, "_PATIENCE_SECONDS", 0.1)  # with one that does not
    listed = threading.Event()
    yield listed
    listed.set()


@pytest.fixture
def night(grey_model, tmp_path, told, listed):
    """One run in this process: `before` is called with its messages before the first photo is counted."""
    bucket = write_bucket(tmp_path / "w", BINS)

    def night(before, endless=False, error=None):
        flags = {"bucket": str(bucket), "model": grey_model, "out": str(tmp_path / "out")}
        settings, messages = load_settings(flags, flags_only=True), Following(told)
        context = open_run(settings, "a", messages)
        context = replace(context, engine=Slow(context.engine, lambda: before(messages)))
        if endless or error is not None:
            context = replace(context, bucket=Endless(context.bucket, listed, error))
        return run(context)

    return night


def records_kept(out):
    paths = sorted((out / "records").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths]) if paths else pd.DataFrame()


def wait_until(what):
    for _ in range(600):
        if what():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it did not come to that")


def no_record_waits_for_photos(messages):
    wait_until(lambda: messages.read == len(BINS))


def test_records_do_not_wait_for_photos(night, told):
    summary = night(no_record_waits_for_photos)
    assert summary.totals["match"] == summary.counted == len(BINS)
    lines = [line for line in told.getvalue().splitlines() if "counted in" in line or "records read in" in line]
    assert len(lines) == 2
    assert f"{len(BINS)} new records read in" in lines[0]
    assert lines[0].endswith(" 0 could not be read")


def test_where_counting_fails_its_error_is_told_and_records_are_kept(night, told, tmp_path):
    def fail(messages):
        no_record_waits_for_photos(messages)
        raise ReconcileError("the GPU is gone")

    with pytest.raises(ReconcileError, match="the GPU is gone"):
        night(fail, endless=True)
    assert len(records_kept(tmp_path / "out")) == len(BINS)
    assert "records read" not in told.getvalue()
    assert not reading_goes_on()


def reading_goes_on():
    return any(thread.name in ("read-0", "write-records") for thread in threading.enumerate())


def test_where_reading_fails_a_warning_comes_at_once_and_photos_are_counted(night, told, listed):
    def told_before(messages):
        no_record_waits_for_photos(messages)
        listed.set()
        wait_until(lambda: "the run will fail: the listing broke" in told.getvalue())
        assert "counted in" not in told.getvalue()

    with pytest.raises(ReconcileError, match="the listing broke"):
        night(told_before, error=ReconcileError("the listing broke"))
    assert f"{len(BINS)} images counted" in told.getvalue()
    assert told.getvalue().count("the listing broke") == 1


def test_where_both_fail_both_are_told(night, told, listed):
    def fail(messages):
        listed.set()
        wait_until(lambda: "the run will fail: the listing broke" in told.getvalue())
        raise ReconcileError("the GPU is gone")

    with pytest.raises(ReconcileError, match="the GPU is gone"):
        night(fail, error=ReconcileError("the listing broke"))


def test_a_stop_while_counting_says_how_many_records_are_kept(night, told, tmp_path, monkeypatch):
    monkeypatch.setattr(write_parts, "PART_ROWS", 10)  # the last five are in no part yet

    def stop(messages):
        no_record_waits_for_photos(messages)
        told_to_stop.setattr(cancellation, "_requested", True)
        raise Interrupted(0)

    with monkeypatch.context() as told_to_stop, pytest.raises(Interrupted):
        night(stop, endless=True)
    kept = records_kept(tmp_path / "out")
    assert sorted(kept["bin_id"]) == sorted(BINS)
    assert f"stopped after {len(BINS)} of at least {len(BINS)} records; their results are kept" in told.getvalue()
    assert not reading_goes_on()


def test_a_stop_while_only_records_are_left_says_so_too(night, told, tmp_path, monkeypatch):
    wait = RecordReader.wait

    def stop_and_wait(self):
        told_to_stop.setattr(cancellation, "_requested", True)
        return wait(self)

    with monkeypatch.context() as told_to_stop:
        told_to_stop.setattr(RecordReader, "wait", stop_and_wait)
        with pytest.raises(KeyboardInterrupt):
            night(no_record_waits_for_photos, endless=True)
    assert f"{len(BINS)} images counted" in told.getvalue()
    assert f"stopped after {len(BINS)} of at least {len(BINS)} records; their results are kept" in told.getvalue()
    assert len(records_kept(tmp_path / "out")) == len(BINS)


def test_what_is_told_at_the_end_is_told_once(night, told, listed, monkeypatch):
    wait = RecordReader.wait

    def wait_and_hear(self):
        threading.Timer(0.2, listed.set).start()
        return wait(self)

    monkeypatch.setattr(RecordReader, "wait", wait_and_hear)
    with pytest.raises(ReconcileError, match="the listing broke"):
        night(no_record_waits_for_photos, error=ReconcileError("the listing broke"))
    assert "the listing broke" not in told.getvalue()  # but by whoever asked for the run


def test_who_asks_to_stop_a_second_time_waits_for_no_record(night, told, monkeypatch):
    let_go = threading.Event()
    write = Output.write_part

    def hang(self, folder, rows, name=None):
        if folder == "records":
            let_go.wait(30)
        write(self, folder, rows, name)

    def stop(messages):
        no_record_waits_for_photos(messages)
        told_to_stop.setattr(cancellation, "_requested", True)
        told_to_stop.setattr(cancellation, "_urgent", True)
        raise KeyboardInterrupt

    monkeypatch.setattr(Output, "write_part", hang)
    monkeypatch.setattr(read_records, "GRACE_SECONDS", 60)
    with monkeypatch.context() as told_to_stop, pytest.raises(KeyboardInterrupt):
        night(stop, endless=True)
    let_go.set()
    assert "stopped after" not in told.getvalue()
