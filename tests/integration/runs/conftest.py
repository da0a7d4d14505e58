"""The bucket of a small warehouse."""

import pytest

from tests.conftest import write_bucket
from tests.integration.runs.small_warehouse import BINS


@pytest.fixture
def warehouse(s3):
    """Return a bucket of eight bins on the S3 server."""
    return write_bucket(s3.root / "warehouse", BINS)
