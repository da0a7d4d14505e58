"""Fixtures of the fault tests: a bucket on a real S3 server, runs over the bucket, and moto's server."""

import io

import pandas as pd
import pytest

from reconcile.config import load_settings
from reconcile.logs import RunLog
from reconcile.pipeline.context import open_run
from reconcile.pipeline.run import run
from reconcile.storage import retry, s3_client
from tests.conftest import write_bucket
from tests.integration.s3_faults.s3_helpers import boto_client


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    """Shorten the pauses and timeouts. tests/unit/storage/test_retry.py tests their real lengths."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 0.5)


@pytest.fixture
def warehouse(s3):
    """Return an S3 server with a bucket of 40 bins. The photo of each bin agrees with its record."""
    write_bucket(s3.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40)})
    return s3


@pytest.fixture
def run_warehouse(grey_model, tmp_path):
    """Return a function that makes a run in this process and returns its rows and its summary."""

    def run_once(url, run_id, out="./out"):
        flags = {"bucket": "warehouse", "endpoint_url": url, "model": grey_model, "out": out, "max_unreadable": "100%"}
        summary = run(open_run(load_settings(flags), run_id, RunLog("text", run_id, io.StringIO())))
        folder = tmp_path / "out" if out == "./out" else tmp_path / "s3" / out.removeprefix("s3://")
        return pd.read_parquet(folder / f"runs/{run_id}/reconciled.parquet"), summary

    return run_once


@pytest.fixture
def moto():
    """Return the address of moto's S3 server with a bucket. Unlike rclone, it lists unfinished multipart uploads."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    boto_client(url).create_bucket(Bucket="results")
    yield url
    server.stop()
    moto_api_backend.reset()  # moto keeps its objects in this process
