"""What recounts found: for the error model, and for the report."""

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
    """What the recounts of one run's queue found, against what was expected of them."""

    run_id: str
    """The last run that was recounted."""
    recounted: int
    wrong: int
    """Records that were not what the person counted."""
    wrong_by_label: int
    """Of these, the ones a photo could tell: a record of 9 for a bin of 7 is under the same label (6+)."""
    expected_wrong: float
    """Sum of p_wrong, as that run had it. Bins that had none (no label covers their record) are left out throughout."""
    low: int
    high: int
    """95 % of the time the number lies between these, if p_wrong is right."""

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return asdict(self)


def recounts_for(labels: CountLabels, latest: Sequence[Mapping[str, Any]]) -> Recounts | None:
    """What the error model can learn from: the last verdict on each photo, as far as these labels go.

    Args:
        labels: of the model in use; verdicts on what another set of labels said are left out.
        latest: verdicts.
    """
    rows = [row for row in latest if tuple(row["labels"]) == labels.names]
    places = [(labels.index_of(row["expected_quantity"]), labels.index_of(row["true_count"])) for row in rows]
    kept = [place for place, (expected, found) in enumerate(places) if expected is not None and found is not None]
    if not kept:
        return None
    expected, found = np.array([places[place] for place in kept], dtype=np.int64).T
    probabilities = as_matrix([rows[place]["probabilities"] for place in kept], len(labels.names))
    return Recounts(probabilities, expected, found)


def last_recounts(bucket: str, latest: Sequence[Mapping[str, Any]]) -> RecountsFound | None:
    """What was found in the queue of the last run over `bucket` that was recounted; None if none was."""
    rows = [row for row in latest if row["p_wrong"] is not None and row["bucket"] == bucket]
    if not rows:
        return None
    newest = max(rows, key=lambda row: (row["run_started_at"], row["run_id"]))["run_id"]
    rows = [row for row in rows if row["run_id"] == newest]
    # The rate cancels out where it is the only one.
    expected = expected_count(np.array([row["p_wrong"] for row in rows]), 0.5, np.array([0.5]))
    wrong = [row for row in rows if row["true_count"] != row["expected_quantity"]]
    by_label = 0
    for row in wrong:
        labels = CountLabels(tuple(row["labels"]))
        by_label += labels.index_of(row["true_count"]) != labels.index_of(row["expected_quantity"])
    ends = round(expected.low), round(expected.high)
    return RecountsFound(newest, len(rows), len(wrong), by_label, expected.value, *ends)
