"""Fixtures of the storage tests: buckets behind which the test sees a folder, and a client of moto's S3 server."""

import boto3
import pytest

from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket


@pytest.fixture(params=["s3", "s3 prefix", "folder"])
def bucket_and_folder(request, s3):
    """Return a bucket and the folder that holds its objects. The bucket is on S3, a prefix on S3, or a folder."""
    folder = s3.root / "warehouse"
    folder.mkdir()
    access = S3Access(endpoint_url=s3.endpoint_url)
    if request.param == "s3 prefix":
        (folder / "deep" / "down").mkdir(parents=True)
        return open_bucket("s3://warehouse/deep/down/", access), folder / "deep" / "down"
    return open_bucket("warehouse" if request.param == "s3" else str(folder), access), folder


@pytest.fixture
def moto_client(moto):
    """Return a boto3 client of moto's S3 server."""
    return boto3.client("s3", endpoint_url=moto.endpoint_url, region_name="us-east-1")
