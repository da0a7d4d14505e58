"""Fixtures: an S3 server with a bucket of photos and a bucket of inventories."""

import pytest

from reconcile.storage.base import S3Access
from tests.conftest import write_bucket
from tests.integration.inputs.inventories import BINS


@pytest.fixture(scope="module")
def served(start_s3_server, tmp_path_factory):
    """Return an S3 server with the buckets `warehouse` and `reports`. The inventories are in `reports`."""
    root = tmp_path_factory.mktemp("keys")
    write_bucket(root / "warehouse", BINS)
    (root / "reports").mkdir()
    return start_s3_server(root)


@pytest.fixture
def access(served):
    return S3Access(endpoint_url=served.endpoint_url)
