"""A run that is interrupted keeps its counts, and the next run continues."""

import shlex
import signal
import socket
import subprocess
import threading

import pandas as pd
import pytest

from reconcile.concurrency import cancellation
from reconcile.concurrency.cancellation import Interrupted
from reconcile.inference.counter import load_predictor
from reconcile.output.store import Output
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.streaming import count_images as counting
from reconcile.streaming import fetch
from reconcile.streaming.count_images import count_images
from reconcile.streaming.observers import CallbackObserver
from tests.conftest import SCRIPTS, last_line, write_bucket


def start(*arguments):
    command = [str(SCRIPTS / "reconcile"), *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def silent_server():
    """Return the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_that_waits_for_s3_can_be_interrupted(silent_server, grey_model, number, tmp_path):
    process = start("run", "--bucket", "b", "--endpoint-url", silent_server, "--model", grey_model, "--out", "out")
    assert process.stderr.readline()  # the line just before the first request
    process.send_signal(number)
    _, log = process.communicate(timeout=30)  # the time limit of S3 requests is longer
    assert process.returncode == 130
    line = "reconcile: interrupted; finished work is kept, run the same command again to continue: "
    assert last_line(log) == line + shlex.join(process.args)
    assert not (tmp_path / "out" / "run.lock").exists()


@pytest.mark.parametrize("out", ["folder", "s3"])
def test_interruption_keeps_counts_and_stops_all_threads(out, grey_model, tmp_path, s3, monkeypatch):
    bins = {f"{n:05d}": (n % 7, n % 7) for n in range(300)}
    folder = open_bucket(str(write_bucket(tmp_path / "w", bins)), S3Access())
    (s3.root / "results").mkdir()
    where = str(tmp_path / "out") if out == "folder" else "s3://results/deep"
    output = Output(open_bucket(where, S3Access(s3.endpoint_url), create=True))
    counter = load_predictor(grey_model, "cpu", pytest.fail, 16)
    reconciler = Reconciler(tmp_path, counter.card.labels, JsonRecords(), StoredParts())
    backlog = reconciler.backlog("images")
    released = threading.Event()

    def listing_that_does_not_end():
        yield from folder.list_pages("bin-images/")
        released.wait(60)

    def interrupt(done):
        if (counted := counted_so_far.append(done) or sum(counted_so_far)) >= 100:
            patch.setattr(cancellation, "_requested", True)
            raise KeyboardInterrupt(counted)

    counted_so_far = []
    others = set(threading.enumerate())
    backlog.fill(listing_that_does_not_end())
    with pytest.raises(Interrupted) as stopped, monkeypatch.context() as patch:
        count_images(backlog, folder, counter, output, CallbackObserver(interrupt, pytest.fail))
    left = {thread.name for thread in set(threading.enumerate()) - others}
    assert not [name for name in left if name.startswith(("fetch", "decode", "count", "list-0"))]
    released.set()
    backlog.close()
    kept = pd.concat(pd.read_parquet(part) for part in output.local_parts(f"counts/{counter.model_id}", tmp_path))
    assert len(kept) == stopped.value.kept >= sum(counted_so_far) >= 100
    assert kept["image_key"].is_unique

    reconciler.update_parts(output.local_parts(f"counts/{counter.model_id}", tmp_path), [])
    left = [image for page in reconciler.new_images(folder.list_pages("bin-images/"), None) for image in page]
    assert len(left) == 300 - len(kept)
    reconciler.close()


@pytest.fixture
def few_fetches(monkeypatch):
    """Limit fetching and decoding, so that few photos are fetched when the first are counted."""
    monkeypatch.setattr(fetch, "fetches_in_flight", lambda: 4)
    monkeypatch.setattr(counting, "available_cores", lambda: 2)


def test_stop_seen_first_by_an_s3_request_reports_kept_counts(grey_model, tmp_path, s3, monkeypatch, few_fetches):
    write_bucket(s3.root / "w", {f"{n:05d}": (1, 1) for n in range(300)})
    bucket = open_bucket("w", S3Access(s3.endpoint_url))
    output = Output(open_bucket(str(tmp_path / "out"), S3Access(), create=True))
    counter = load_predictor(grey_model, "cpu", pytest.fail, 16)
    reconciler = Reconciler(tmp_path, counter.card.labels, JsonRecords(), StoredParts())
    backlog = reconciler.backlog("images")
    backlog.fill(bucket.list_pages("bin-images/"))

    check, heard = cancellation.raise_if_cancelled, set()

    def listen():
        try:
            check()
        except KeyboardInterrupt:
            heard.add(threading.current_thread().name)
            raise

    def ask(_done):
        patch.setattr(cancellation, "raise_if_cancelled", listen)
        patch.setattr(cancellation, "_requested", True)
        for thread in threading.enumerate():  # each notices it with its next request
            if thread.name.startswith("fetch"):
                thread.join(60)

    with pytest.raises(Interrupted) as stopped, monkeypatch.context() as patch:
        count_images(backlog, bucket, counter, output, CallbackObserver(ask, pytest.fail))
    assert 0 < stopped.value.kept < 300
    assert any(name.startswith("fetch") for name in heard)
    backlog.close()
    reconciler.close()


def test_interruption_keeps_batches_that_wait_to_be_written(grey_model, tmp_path, monkeypatch, few_fetches):
    folder = open_bucket(str(write_bucket(tmp_path / "w", {f"{n:05d}": (1, 1) for n in range(300)})), S3Access())
    output = Output(open_bucket(str(tmp_path / "out"), S3Access(), create=True))
    counter = load_predictor(grey_model, "cpu", pytest.fail, 16)
    reconciler = Reconciler(tmp_path, counter.card.labels, JsonRecords(), StoredParts())
    backlog = reconciler.backlog("images")
    begun, count = threading.Semaphore(0), counter.count
    monkeypatch.setattr(counter, "count", lambda *batch: begun.release() or count(*batch))

    def interrupt(done):
        for _ in range(3 + counter.workers):  # a worker that begins a batch has handed over the one before
            assert begun.acquire(timeout=60)
        raise KeyboardInterrupt

    backlog.fill(folder.list_pages("bin-images/"))
    with pytest.raises(Interrupted) as stopped:
        count_images(backlog, folder, counter, output, CallbackObserver(interrupt, pytest.fail))
    assert stopped.value.kept >= 3 * 16
    backlog.close()
    reconciler.close()
