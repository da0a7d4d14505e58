"""Fixtures of the verdict tests: a finished run, and functions that make more runs."""

import os
import shutil
from functools import partial

import pytest

from tests.conftest import write_bucket
from tests.integration.verdicts.verdict_helpers import BINS, run_bucket


@pytest.fixture(scope="session")
def first_run(tmp_path_factory, grey_model):
    """Return a bucket and the output folder with the run n1. Tests share both and must not change them."""
    folder = tmp_path_factory.mktemp("first")
    bucket = write_bucket(folder / "w", BINS)
    with pytest.MonkeyPatch.context() as patch:  # a session fixture starts before clean_environment
        for name in [name for name in os.environ if name.startswith("RECONCILE_")]:
            patch.delenv(name)
        run_bucket(bucket, grey_model, folder / "out", "n1")
    return bucket, folder / "out"


@pytest.fixture
def finished_run(first_run, tmp_path):
    """Copy the output folder with the run n1 to ./out, and return the bucket of the run."""
    bucket, out = first_run
    shutil.copytree(out, tmp_path / "out")
    return bucket


@pytest.fixture
def run_again(finished_run, grey_model):
    """Return a function that makes another run over the bucket of n1 into ./out."""
    return partial(run_bucket, finished_run, grey_model, "out")


@pytest.fixture
def warehouse(tmp_path):
    """Return a bucket that the test may change."""
    return write_bucket(tmp_path / "w", BINS)


@pytest.fixture
def run_warehouse(warehouse, grey_model):
    """Return a function that makes a run over `warehouse` into ./out."""
    return partial(run_bucket, warehouse, grey_model, "out")
