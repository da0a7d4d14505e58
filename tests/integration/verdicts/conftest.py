"""A first night that all tests of verdicts start from."""

import os
import shutil
from functools import partial

import pytest

from tests.conftest import write_bucket
from tests.integration.verdicts.warehouse import BINS, run_night


@pytest.fixture(scope="session")
def first_night(tmp_path_factory, grey_model):
    """A bucket and <out> after the run n1, made once; no test changes either."""
    folder = tmp_path_factory.mktemp("first")
    bucket = write_bucket(folder / "w", BINS)
    with pytest.MonkeyPatch.context() as patch:  # clean_environment comes too late for it
        for name in [name for name in os.environ if name.startswith("RECONCILE_")]:
            patch.delenv(name)
        run_night(bucket, grey_model, folder / "out", "n1")
    return bucket, folder / "out"


@pytest.fixture
def night(first_night, grey_model, tmp_path):
    """<out> after the run n1, in the working directory; runs more nights over the same bucket, by run id."""
    bucket, out = first_night
    shutil.copytree(out, tmp_path / "out")
    return partial(run_night, bucket, grey_model, "out")


@pytest.fixture
def warehouse(tmp_path):
    """A bucket that a test may change."""
    return write_bucket(tmp_path / "w", BINS)


@pytest.fixture
def own_night(warehouse, grey_model):
    """Runs nights over that bucket."""
    return partial(run_night, warehouse, grey_model, "out")
