"""Runs in unusual environments: time zones, temporary folders and Python options that other programs need."""

import os

import pytest

from tests.conftest import reconcile
from tests.integration.runs.small_warehouse import BINS, results, statuses


@pytest.mark.parametrize("zone", ["PST", "<+14>-14"])
def test_time_zone_that_python_does_not_know_changes_nothing(warehouse, grey_model, tmp_path, zone):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", env=os.environ | {"TZ": zone})
    assert done.returncode == 0, done.stderr
    _, rows = results(tmp_path / "out")
    assert statuses(rows)["00001"] == "match"
    assert len(rows) == len(BINS)
