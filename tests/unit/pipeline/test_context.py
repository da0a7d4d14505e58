"""Checks before a run starts."""

import pytest

from reconcile.errors import UsageError
from reconcile.pipeline.context import check_pattern


def test_pattern_that_duckdb_cannot_apply_is_rejected():
    check_pattern(r"(?P<aisle>[A-Z]+)-(?P<pod>\d+)")
    many_groups = "".join(f"(?P<g{n}>.)" for n in range(12))
    for pattern in (r"(?P<a>x(?=y))", many_groups):
        with pytest.raises(UsageError, match="--where"):
            check_pattern(pattern)
