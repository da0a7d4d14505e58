"""What they do to parts and large objects, and to who waits for them."""

import os
import signal
import subprocess
import time

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import SCRIPTS, last_line
from tests.integration.s3_faults.faulty_proxy import (
    Rule,
    faulty_proxy,
    refused,
    reset,
    reset_when_done,
    silent,
    stalled,
)
from tests.integration.s3_faults.night import api, counted_keys


def test_parts_that_are_put_again_are_the_same_parts(warehouse, night, tmp_path):
    (warehouse.root / "results").mkdir()
    rules = [
        Rule("PUT /results/.*counts", refused(500, "InternalError"), times=2),
        Rule("PUT /results/.*counts", reset_when_done, times=3),
        Rule("PUT /results/.*records", reset_when_done, times=5),
        Rule("PUT /results/.*records", refused(503, "SlowDown"), times=12),
        Rule("PUT /results/.*summary", reset, times=2),
    ]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, _ = night(proxy.url, "a", out="s3://results/deep")
        assert [rule.times for rule in rules] == [0] * len(rules)
    assert (rows["status"] == "match").sum() == len(rows) == 40
    out = warehouse.root / "results" / "deep"
    assert counted_keys(out / "counts") == [f"bin-images/{n:05d}.jpg" for n in range(40)]
    assert len(list((out / "records").iterdir())) == 1


LARGE = os.urandom(12 * 2**20)


def test_a_large_object_goes_in_parts_that_are_put_again(moto, tmp_path):
    rules = [
        Rule("PUT /results/large.*partNumber=2", refused(500, "InternalError"), times=2),
        Rule("PUT /results/large.*partNumber=3", reset_when_done, times=1),
        Rule("POST /results/large.*uploadId", reset_when_done, times=1),
        Rule("POST /results/large.*uploadId", refused(404, "NoSuchUpload"), times=1),
    ]
    (tmp_path / "large").write_bytes(LARGE)
    with faulty_proxy(moto, *rules) as proxy:
        open_bucket("results", S3Access(proxy.url)).put("large", tmp_path / "large")
        assert [rule.times for rule in rules] == [0] * len(rules)
        # A part is put again by itself; all of them only where the upload itself was lost.
        assert proxy.count("POST /results/large.uploads") == 2
    assert open_bucket("results", S3Access(moto)).get("large") == LARGE
    assert "Uploads" not in api(moto).list_multipart_uploads(Bucket="results")


def test_a_large_object_that_cannot_be_put_leaves_nothing_behind(moto, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.1)
    with (
        faulty_proxy(moto, Rule("PUT /results/large.*partNumber=2", refused(500, "InternalError"))) as proxy,
        pytest.raises(ReconcileError, match="cannot write s3://results"),
    ):
        open_bucket("results", S3Access(proxy.url)).put("large", LARGE)
    client = api(moto)
    assert "Contents" not in client.list_objects_v2(Bucket="results")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="results")


@pytest.mark.parametrize(
    ("stalling", "after"),
    [("GET /warehouse/bin-images", 20), ("GET /warehouse/bin-images", 40), ("PUT /results", 0)],
    ids=["while counting", "while the report is made", "while writing"],
)
def test_a_run_that_s3_keeps_waiting_is_interrupted_at_once(warehouse, grey_model, stalling, after):
    (warehouse.root / "results").mkdir()
    arguments = ["--bucket", "warehouse", "--model", str(grey_model), "--out", "s3://results"]
    with faulty_proxy(warehouse.endpoint_url, Rule(stalling, silent if after == 0 else stalled, after=after)) as proxy:
        process = subprocess.Popen(
            [SCRIPTS / "reconcile", "run", "--endpoint-url", proxy.url, *arguments], stderr=subprocess.PIPE, text=True
        )
        while proxy.count(stalling) <= after:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=25)  # S3's own patience is longer
    assert process.returncode == 130
    assert last_line(told).startswith("reconcile: interrupted; finished work is kept")


def test_a_server_that_answered_and_falls_silent_is_not_taken_for_a_wrong_address(warehouse, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.2)
    with faulty_proxy(warehouse.endpoint_url) as proxy:
        bucket = open_bucket("warehouse", S3Access(proxy.url))
        assert sum(map(len, bucket.list_pages("bin-images/"))) == 40
    with pytest.raises(ReconcileError, match=r"no answer this time \(no server listens there\); check that S3"):
        bucket.put("report.html", b"too late")
