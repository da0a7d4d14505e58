"""Records are read while photos are counted. Records that were read are kept, for any reason that ends the counting."""

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


class EndlessBucket:
    """A bucket whose listing of records continues until `may_end` is set, and then ends or raises an error."""

    def __init__(self, bucket, may_end, error=None):
        self._bucket, self._may_end, self._error = bucket, may_end, error

    def __getattr__(self, name):
        return getattr(self._bucket, name)

    def list_pages(self, prefix=""):
        yield from self._bucket.list_pages(prefix)
        if prefix == "metadata/":
            self._may_end.wait(60)
            if self._error is not None:
                raise self._error


class CountingLog(RunLog):
    """The log of a run, which also knows how many records have been read so far."""

    def __init__(self, stream):
        super().__init__("text", "a", stream)
        self.read = 0

    @contextmanager
    def progress(self, what, workload, **fields):
        with super().progress(what, workload, **fields) as advance:

            def follow(done):
                advance(done)
                self.read += done if what == "reading records" else 0

            yield follow


class SlowEngine:
    """The engine of a run that calls a function before it counts."""

    def __init__(self, engine, before):
        self._engine, self._before = engine, before

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def count(self, *arguments):
        self._before()
        return self._engine.count(*arguments)


@pytest.fixture
def stream():
    """Return the stream of the log of the run."""
    return io.StringIO()


@pytest.fixture
def may_end(monkeypatch):
    """Return an event that allows the listing of records to end."""
    monkeypatch.setattr(backlog, "_PATIENCE_SECONDS", 0.1)  # a listing that does not end is then soon abandoned
    may_end = threading.Event()
    yield may_end
    may_end.set()


@pytest.fixture
def start_run(grey_model, tmp_path, stream, may_end):
    """Return a function for one run in this process. It calls `before` with the log before it counts any photo."""
    bucket = write_bucket(tmp_path / "w", BINS)

    def start_run(before, endless=False, error=None):
        flags = {"bucket": str(bucket), "model": grey_model, "out": str(tmp_path / "out")}
        settings, log = load_settings(flags, flags_only=True), CountingLog(stream)
        context = open_run(settings, "a", log)
        context = replace(context, engine=SlowEngine(context.engine, lambda: before(log)))
        if endless or error is not None:
            context = replace(context, bucket=EndlessBucket(context.bucket, may_end, error))
        return run(context)

    return start_run


def records_kept(out):
    paths = sorted((out / "records").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths]) if paths else pd.DataFrame()


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("the condition did not become true")


def wait_for_all_records(log):
    wait_until(lambda: log.read == len(BINS))


def test_records_are_read_before_photos_are_counted(start_run, stream):
    summary = start_run(wait_for_all_records)
    assert summary.totals["match"] == summary.counted == len(BINS)
    lines = [line for line in stream.getvalue().splitlines() if "counted in" in line or "records read in" in line]
    assert len(lines) == 2
    assert f"{len(BINS)} new records read in" in lines[0]
    assert lines[0].endswith(" 0 could not be read")


def test_failed_counting_raises_its_error_and_keeps_records(start_run, stream, tmp_path):
    def fail(log):
        wait_for_all_records(log)
        raise ReconcileError("the GPU is gone")

    with pytest.raises(ReconcileError, match="the GPU is gone"):
        start_run(fail, endless=True)
    assert len(records_kept(tmp_path / "out")) == len(BINS)
    assert "records read" not in stream.getvalue()
    assert not is_reading()


def is_reading():
    return any(thread.name in ("read-0", "write-records") for thread in threading.enumerate())


def test_failed_reading_warns_immediately_and_counting_continues(start_run, stream, may_end):
    def wait_for_warning(log):
        wait_for_all_records(log)
        may_end.set()
        wait_until(lambda: "the run will fail: the listing broke" in stream.getvalue())
        assert "counted in" not in stream.getvalue()

    with pytest.raises(ReconcileError, match="the listing broke"):
        start_run(wait_for_warning, error=ReconcileError("the listing broke"))
    assert f"{len(BINS)} photos counted" in stream.getvalue()
    assert stream.getvalue().count("the listing broke") == 1


def test_failed_counting_and_reading_are_both_reported(start_run, stream, may_end):
    def fail(log):
        may_end.set()
        wait_until(lambda: "the run will fail: the listing broke" in stream.getvalue())
        raise ReconcileError("the GPU is gone")

    with pytest.raises(ReconcileError, match="the GPU is gone"):
        start_run(fail, error=ReconcileError("the listing broke"))


def test_stop_while_counting_reports_kept_records(start_run, stream, tmp_path, monkeypatch):
    monkeypatch.setattr(write_parts, "PART_ROWS", 10)  # the last five are in no part yet

    def stop(log):
        wait_for_all_records(log)
        patch.setattr(cancellation, "_requested", True)
        raise Interrupted(0)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        start_run(stop, endless=True)
    kept = records_kept(tmp_path / "out")
    assert sorted(kept["bin_id"]) == sorted(BINS)
    assert f"stopped after {len(BINS)} of at least {len(BINS)} records; finished work is kept" in stream.getvalue()
    assert not is_reading()


def test_stop_while_waiting_for_records_reports_kept_records(start_run, stream, tmp_path, monkeypatch):
    wait = RecordReader.wait

    def stop_and_wait(self):
        patch.setattr(cancellation, "_requested", True)
        return wait(self)

    with monkeypatch.context() as patch:
        patch.setattr(RecordReader, "wait", stop_and_wait)
        with pytest.raises(KeyboardInterrupt):
            start_run(wait_for_all_records, endless=True)
    assert f"{len(BINS)} photos counted" in stream.getvalue()
    assert f"stopped after {len(BINS)} of at least {len(BINS)} records; finished work is kept" in stream.getvalue()
    assert len(records_kept(tmp_path / "out")) == len(BINS)


def test_error_at_the_end_is_reported_once(start_run, stream, may_end, monkeypatch):
    wait = RecordReader.wait

    def end_listing_and_wait(self):
        threading.Timer(0.2, may_end.set).start()
        return wait(self)

    monkeypatch.setattr(RecordReader, "wait", end_listing_and_wait)
    with pytest.raises(ReconcileError, match="the listing broke"):
        start_run(wait_for_all_records, error=ReconcileError("the listing broke"))
    assert "the listing broke" not in stream.getvalue()  # the caller of the run reports it


def test_second_stop_does_not_wait_for_records(start_run, stream, monkeypatch):
    may_write = threading.Event()
    write = Output.write_part

    def hang(self, folder, rows, name=None):
        if folder == "records":
            may_write.wait(30)
        write(self, folder, rows, name)

    def stop(log):
        wait_for_all_records(log)
        patch.setattr(cancellation, "_requested", True)
        patch.setattr(cancellation, "_forced", True)
        raise KeyboardInterrupt

    monkeypatch.setattr(Output, "write_part", hang)
    monkeypatch.setattr(read_records, "GRACE_SECONDS", 60)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        start_run(stop, endless=True)
    may_write.set()
    assert "stopped after" not in stream.getvalue()
