"""Fixtures of the tests of the run lock."""

import socket
import subprocess

import pytest

from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import SCRIPTS


@pytest.fixture(params=["folder", "moto", "rclone"])
def location(request, tmp_path):
    """Return `<out>` and the access to it: a folder, S3, or an S3 server that ignores conditions."""
    if request.param == "folder":
        return str(tmp_path / "out"), S3Access()
    if request.param == "moto":
        import boto3

        access = request.getfixturevalue("moto")
        client = boto3.client("s3", endpoint_url=access.endpoint_url, region_name="us-east-1")
        client.create_bucket(Bucket="results")
    else:
        server = request.getfixturevalue("s3")
        (server.root / "results").mkdir()
        access = S3Access(endpoint_url=server.endpoint_url)
    return "s3://results/nightly", access


@pytest.fixture
def output(location):
    return Output(open_bucket(*location, create=True))


@pytest.fixture
def start_waiting_run(grey_model):
    """Return a function that starts a run into ./out. The run waits for a listing from an S3 that never answers."""
    processes = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def start(run_id, *command):
            command = command or (str(SCRIPTS / "reconcile"),)
            arguments = ["run", "--bucket", "b", "--endpoint-url", url, "--model", str(grey_model), "--out", "out"]
            process = subprocess.Popen([*command, *arguments, "--run-id", run_id], stderr=subprocess.PIPE, text=True)
            processes.append(process)
            assert f"run {run_id}:" in process.stderr.readline()
            return process

        yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()
