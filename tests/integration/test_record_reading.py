"""Records are read while photos are counted, and whatever ends the counting leaves no record that was read behind."""

import io
import threading

import pandas as pd
import pytest

from reconcile import backlog, interruption, part_writing
from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.interruption import Interrupted
from reconcile.messages import Messages
from reconcile.pipeline import run_over
from reconcile.places import open_places
from reconcile.record_reading import RecordReading
from tests.conftest import write_bucket

BINS = {f"{n:05d}": (n % 7, n % 7) for n in range(50)}


class Endless:
    """A bucket whose listing of records does not end before it is told to."""

    def __init__(self, bucket, listed):
        self._bucket, self._listed = bucket, listed

    def __getattr__(self, name):
        return getattr(self._bucket, name)

    def pages(self, prefix=""):
        yield from self._bucket.pages(prefix)
        if prefix == "metadata/":
            self._listed.wait(60)


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
def night(grey_model, tmp_path, monkeypatch):
    """One run in this process: `before` is called before the first photo is counted, and its log goes to `told`."""
    bucket = write_bucket(tmp_path / "w", BINS)
    monkeypatch.setattr(backlog, "_PATIENCE_SECONDS", 0.1)  # with a listing that does not end

    def night(before, told, listed=None):
        flags = {"bucket": str(bucket), "model": grey_model, "out": str(tmp_path / "out")}
        settings, messages = load_settings(flags, alone=True), Messages("text", "a", told)
        places = open_places(settings, messages)
        places = places._replace(engine=Slow(places.engine, before))
        if listed is not None:
            places = places._replace(bucket=Endless(places.bucket, listed))
        return run_over(places, settings, "a", messages)

    return night


def records_kept(out):
    paths = sorted((out / "records").glob("*.parquet"))
    return pd.concat([pd.read_parquet(path) for path in paths]) if paths else pd.DataFrame()


def wait_for_records(out, parts=1):
    """Until so many parts of them are there."""
    for _ in range(600):
        if (out / "records").is_dir() and len(list((out / "records").glob("part-*.parquet"))) >= parts:
            return
        threading.Event().wait(0.1)
    raise AssertionError("no record was read while photos were to be counted")


def test_records_do_not_wait_for_photos(night, tmp_path):
    told = io.StringIO()
    summary = night(lambda: wait_for_records(tmp_path / "out"), told)
    assert summary.totals["match"] == summary.counted == 50
    assert "50 new records read in" in told.getvalue()
    assert "0 could not be read" in told.getvalue()


def test_where_counting_fails_its_error_is_told_and_records_are_kept(night, tmp_path):
    def fail():
        wait_for_records(tmp_path / "out")
        raise ReconcileError("the GPU is gone")

    told = io.StringIO()
    with pytest.raises(ReconcileError, match="the GPU is gone"):
        night(fail, told)
    assert len(records_kept(tmp_path / "out")) == 50
    assert "records read" not in told.getvalue()


def test_a_stop_while_counting_says_how_many_records_are_kept(night, tmp_path, monkeypatch):
    monkeypatch.setattr(part_writing, "PART_ROWS", 10)
    listed = threading.Event()

    def stop():
        wait_for_records(tmp_path / "out", parts=2)
        told_to_stop.setattr(interruption, "_requested", True)
        raise Interrupted(0)

    told = io.StringIO()
    with monkeypatch.context() as told_to_stop, pytest.raises(Interrupted):
        night(stop, told, listed)
    listed.set()
    kept = records_kept(tmp_path / "out")
    assert len(kept) >= 20
    assert kept["record_key"].is_unique
    assert f"stopped with {len(kept)} of at least 50 records read and kept" in told.getvalue()
    assert not any(thread.name in ("read-0", "write-records") for thread in threading.enumerate())


def test_a_stop_while_only_records_are_left_says_so_too(night, tmp_path, monkeypatch):
    listed, told = threading.Event(), io.StringIO()
    wait = RecordReading.wait

    def stop_and_wait(self):
        wait_for_records(tmp_path / "out", parts=5)
        told_to_stop.setattr(interruption, "_requested", True)
        return wait(self)

    monkeypatch.setattr(part_writing, "PART_ROWS", 10)
    with monkeypatch.context() as told_to_stop:
        told_to_stop.setattr(RecordReading, "wait", stop_and_wait)
        with pytest.raises(KeyboardInterrupt):
            night(lambda: None, told, listed)
    listed.set()
    assert "50 images counted" in told.getvalue()
    assert "stopped with 50 of at least 50 records read and kept" in told.getvalue()
    assert len(records_kept(tmp_path / "out")) == 50
