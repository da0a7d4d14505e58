"""A run over a real S3 server, which tests put a proxy before."""

import io

import pandas as pd
import pytest

from reconcile.config import load_settings
from reconcile.logs import RunLog
from reconcile.pipeline.run import run
from reconcile.storage import retry, s3_client
from tests.conftest import write_bucket
from tests.integration.s3_faults.night import api


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Pauses and timeouts of a test's length; how they add up is looked at in tests/unit/storage/test_retry.py."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(s3_client, "SILENCE_SECONDS", 0.5)


@pytest.fixture
def warehouse(s3):
    """A bucket of forty bins, each of which is as its record says."""
    write_bucket(s3.root / "warehouse", {f"{n:05d}": (n % 7, n % 7) for n in range(40)})
    return s3


@pytest.fixture
def night(grey_model, tmp_path):
    """One run in this process: the rows of reconciled.parquet and the summary."""

    def one_night(url, run_id, out="./out"):
        flags = {"bucket": "warehouse", "endpoint_url": url, "model": grey_model, "out": out, "max_unreadable": "100%"}
        summary = run(load_settings(flags), run_id, RunLog("text", run_id, io.StringIO()))
        where = tmp_path / "out" if out == "./out" else tmp_path / "s3" / out.removeprefix("s3://")
        return pd.read_parquet(where / f"runs/{run_id}/reconciled.parquet"), summary

    return one_night


@pytest.fixture
def moto():
    """moto's S3 server, with a bucket: unlike rclone's it tells of uploads that were begun and not ended."""
    from moto.moto_api._internal.models import moto_api_backend
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    api(url).create_bucket(Bucket="results")
    yield url
    server.stop()
    moto_api_backend.reset()  # what it holds is held by the process
