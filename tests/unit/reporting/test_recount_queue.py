"""The rows of the queue as the report shows them."""

import pytest

from reconcile.reporting.recount_queue import queue_rows
from tests.conftest import LABELS


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (1.0, ">99%"), (0.9996, ">99%"), (0.995, ">99%"), (0.9949, "99%"), (0.5, "50%"), (0.0051, "1%"),
        (0.005, "<1%"), (0.0, "<1%"), (None, "–"),
    ],
)  # fmt: skip
def test_no_record_is_certainly_wrong_or_right(p, shown):
    row = {"bin_id": "A-1", "p_wrong": p, "probabilities": [1 / 7] * 7, "expected_quantity": 2}
    assert [row["chance"] for row in queue_rows([row], LABELS, None)] == [shown]
