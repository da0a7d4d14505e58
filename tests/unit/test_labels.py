"""Count labels: which label covers a count."""

import numpy as np
import pytest

from reconcile.labels import CountLabels


def test_open_ended_last_label_covers_all_larger_counts():
    labels = CountLabels(("0", "1", "2+"))
    assert [labels.index_of(count) for count in (0, 1, 2, 3, 99)] == [0, 1, 2, 2, 2]


def test_closed_labels_do_not_cover_missing_counts():
    labels = CountLabels(("1", "2", "4"))
    assert [labels.index_of(count) for count in (0, 1, 2, 3, 4, 5)] == [None, 0, 1, None, 2, None]


def test_indices_of_counts_without_a_label_are_minus_one():
    labels = CountLabels(("1", "2", "4+"))
    indices = labels.indices_of([0, 1, 2, 3, 4, 99])
    assert (indices.dtype, indices.tolist()) == (np.int64, [-1, 0, 1, -1, 2, 2])


@pytest.mark.parametrize("names", [("a", "b"), ("1+", "2"), ("2", "1"), ("1", "1"), ("3",), ("-1", "2")])
def test_invalid_labels_are_refused(names):
    with pytest.raises(ValueError, match="label"):
        CountLabels(names)
