"""Writing of result files and large objects while the network or S3 fails, and interruption of a waiting run."""

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
    never_answer,
    reset_after_request,
    reset_connection,
    s3_error,
    stall_mid_body,
)
from tests.integration.s3_faults.s3_helpers import boto_client, counted_keys


def test_retried_writes_store_each_part_once(warehouse, run_warehouse, tmp_path):
    (warehouse.root / "results").mkdir()
    rules = [
        Rule("PUT /results/.*counts", s3_error(500, "InternalError"), times=2),
        Rule("PUT /results/.*counts", reset_after_request, times=3),
        Rule("PUT /results/.*records", reset_after_request, times=5),
        Rule("PUT /results/.*records", s3_error(503, "SlowDown"), times=12),
        Rule("PUT /results/.*summary", reset_connection, times=2),
    ]
    with faulty_proxy(warehouse.endpoint_url, *rules) as proxy:
        rows, _ = run_warehouse(proxy.url, "a", out="s3://results/deep")
        assert [rule.times for rule in rules] == [0] * len(rules)
    assert (rows["status"] == "match").sum() == len(rows) == 40
    out = warehouse.root / "results" / "deep"
    assert counted_keys(out / "counts") == [f"bin-images/{n:05d}.jpg" for n in range(40)]
    assert len(list((out / "records").iterdir())) == 1


LARGE = os.urandom(12 * 2**20)


def test_multipart_upload_retries_single_parts(moto, tmp_path):
    rules = [
        Rule("PUT /results/large.*partNumber=2", s3_error(500, "InternalError"), times=2),
        Rule("PUT /results/large.*partNumber=3", reset_after_request, times=1),
        Rule("POST /results/large.*uploadId", reset_after_request, times=1),
        Rule("POST /results/large.*uploadId", s3_error(404, "NoSuchUpload"), times=1),
    ]
    (tmp_path / "large").write_bytes(LARGE)
    with faulty_proxy(moto, *rules) as proxy:
        open_bucket("results", S3Access(proxy.url)).put("large", tmp_path / "large")
        assert [rule.times for rule in rules] == [0] * len(rules)
        # The client retries single parts. It starts a second upload only because S3 lost the first one.
        assert proxy.count("POST /results/large.uploads") == 2
    assert open_bucket("results", S3Access(moto)).get("large") == LARGE
    assert "Uploads" not in boto_client(moto).list_multipart_uploads(Bucket="results")


def test_failed_multipart_upload_is_aborted(moto, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.1)
    with (
        faulty_proxy(moto, Rule("PUT /results/large.*partNumber=2", s3_error(500, "InternalError"))) as proxy,
        pytest.raises(ReconcileError, match="cannot write s3://results"),
    ):
        open_bucket("results", S3Access(proxy.url)).put("large", LARGE)
    client = boto_client(moto)
    assert "Contents" not in client.list_objects_v2(Bucket="results")
    assert "Uploads" not in client.list_multipart_uploads(Bucket="results")


@pytest.mark.parametrize(
    ("pattern", "after"),
    [("GET /warehouse/bin-images", 20), ("GET /warehouse/bin-images", 40), ("PUT /results", 0)],
    ids=["while counting", "while the report is made", "while writing"],
)
def test_run_waiting_for_s3_stops_soon_after_sigterm(warehouse, grey_model, pattern, after):
    (warehouse.root / "results").mkdir()
    arguments = ["--bucket", "warehouse", "--model", str(grey_model), "--out", "s3://results"]
    with faulty_proxy(
        warehouse.endpoint_url, Rule(pattern, never_answer if after == 0 else stall_mid_body, after=after)
    ) as proxy:
        process = subprocess.Popen(
            [SCRIPTS / "reconcile", "run", "--endpoint-url", proxy.url, *arguments], stderr=subprocess.PIPE, text=True
        )
        while proxy.count(pattern) <= after:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=25)  # shorter than the time-outs of the S3 client
    assert process.returncode == 130
    assert last_line(log).startswith("reconcile: interrupted; finished work is kept")


def test_server_that_stops_later_is_not_reported_as_wrong_address(warehouse, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.2)
    with faulty_proxy(warehouse.endpoint_url) as proxy:
        bucket = open_bucket("warehouse", S3Access(proxy.url))
        assert sum(map(len, bucket.list_pages("bin-images/"))) == 40
    with pytest.raises(ReconcileError, match=r"no answer this time \(no server listens there\); check that S3"):
        bucket.put("report.html", b"too late")
