"""The outcomes of recounts, for the error model and for the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.discrepancy.error_model_fit import Recounts
from reconcile.discrepancy.expected_errors import expected_count
from reconcile.discrepancy.scoring import as_matrix
from reconcile.labels import CountLabels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class RecountsFound:
    """The results of the recounts of one run's queue, next to the results that the run expected."""

    run_id: str
    """The latest run with recounts."""
    recounted: int
    wrong: int
    """Records whose quantity differs from what the person counted."""
    wrong_by_label: int
    """Wrong records that a photo can reveal. No photo reveals a record of 9 for a bin of 7, because both have the label
    6+."""
    expected_wrong: float
    """Sum of p_wrong of that run. Bins without p_wrong are left out of all figures, because no label covers them."""
    low: int
    high: int
    """The ends of a 95 % interval of the number of wrong records, if p_wrong is well calibrated."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as in summary.json."""
        return asdict(self)


def recounts_for(labels: CountLabels, latest: Sequence[Mapping[str, Any]]) -> Recounts | None:
    """Return the recounts that the error model can learn from, or None if there are none.

    Args:
        labels: the labels of the model in use. Verdicts on counts with other labels are left out.
        latest: the last verdict on each photo, as rows of sql/verdicts/latest.sql.
    """
    rows = [row for row in latest if tuple(row["labels"]) == labels.names]
    pairs = [(labels.index_of(row["expected_quantity"]), labels.index_of(row["true_count"])) for row in rows]
    kept = [index for index, (expected, true) in enumerate(pairs) if expected is not None and true is not None]
    if not kept:
        return None
    expected, true = np.array([pairs[index] for index in kept], dtype=np.int64).T
    probabilities = as_matrix([rows[index]["probabilities"] for index in kept], len(labels.names))
    return Recounts(probabilities, expected, true)


def last_recounts(bucket: str, latest: Sequence[Mapping[str, Any]]) -> RecountsFound | None:
    """Return the outcome of the latest run over `bucket` that has recounts, or None.

    Args:
        bucket: the location of the run's photos.
        latest: the last verdict on each photo, as rows of sql/verdicts/latest.sql.
    """
    rows = [row for row in latest if row["p_wrong"] is not None and row["bucket"] == bucket]
    if not rows:
        return None
    newest = max(rows, key=lambda row: (row["run_started_at"], row["run_id"]))["run_id"]
    rows = [row for row in rows if row["run_id"] == newest]
    # With a single rate, the rate cancels out.
    expected = expected_count(np.array([row["p_wrong"] for row in rows]), 0.5, np.array([0.5]))
    wrong = [row for row in rows if row["true_count"] != row["expected_quantity"]]
    by_label = 0
    for row in wrong:
        labels = CountLabels(tuple(row["labels"]))
        by_label += labels.index_of(row["true_count"]) != labels.index_of(row["expected_quantity"])
    ends = round(expected.low), round(expected.high)
    return RecountsFound(newest, len(rows), len(wrong), by_label, expected.value, *ends)
