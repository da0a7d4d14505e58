"""Rows of the recount queue in the report."""

import pytest

from reconcile.reporting.recount_queue import queue_rows
from tests.conftest import LABELS


@pytest.mark.parametrize(
    ("p_wrong", "shown"),
    [
        (1.0, ">99%"), (0.9996, ">99%"), (0.995, ">99%"), (0.9949, "99%"), (0.5, "50%"), (0.0051, "1%"),
        (0.005, "<1%"), (0.0, "<1%"), (None, "–"),
    ],
)  # fmt: skip
def test_chance_wrong_is_never_shown_as_certain(p_wrong, shown):
    row = {"bin_id": "A-1", "p_wrong": p_wrong, "probabilities": [1 / 7] * 7, "expected_quantity": 2}
    assert [shown_row["chance"] for shown_row in queue_rows([row], [None], LABELS)] == [shown]
