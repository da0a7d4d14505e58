"""Fixtures of the serving tests: a server started as in a SageMaker container, and its bucket on S3."""

import pytest

from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import write_bucket, write_grey_model
from tests.serving_process import Server


@pytest.fixture(scope="module")
def warehouse_s3(start_s3_server, tmp_path_factory):
    """Return an S3 server with the bucket `warehouse`: bin N holds N items, for N from 0 to 6."""
    root = tmp_path_factory.mktemp("s3")
    write_bucket(root / "warehouse", {str(count): (count, None) for count in range(7)})
    (root / "warehouse/bin-images/note.jpg").write_bytes(b"<html>no image</html>")
    return start_s3_server(root)


@pytest.fixture(scope="module")
def server(warehouse_s3, tmp_path_factory):
    """Return a server with its model in SageMaker's folder: one file for CPUs, and one for GPUs."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "model").mkdir()
    write_grey_model(folder / "model/bin-counter-int8.onnx")
    write_grey_model(folder / "model/bin-counter-fp16.onnx", version="for-gpus")
    variables = {"RECONCILE_BUCKET": "warehouse", "RECONCILE_ENDPOINT_URL": warehouse_s3.endpoint_url}
    running = Server(
        folder, "--allow-bucket", "./photos", "--allow-bucket", "./gone", SM_MODEL_DIR=folder / "model", **variables
    ).wait_until_ready()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def objects(warehouse_s3):
    """Return the images of the bucket, as listed."""
    [page] = open_bucket("warehouse", S3Access(warehouse_s3.endpoint_url)).list_pages("bin-images/")
    return page
