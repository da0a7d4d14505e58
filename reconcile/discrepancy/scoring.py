"""Score every joined bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.discrepancy.label_shift import adjust_for_prior, estimate_class_prior
from reconcile.discrepancy.posterior import (
    most_likely,
    most_likely_if_wrong,
    p_off,
    p_wrong,
    posterior,
    units_off,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model_fit import FittedErrorModel
    from reconcile.labels import CountLabels


SCORED_FROM = ["predicted_count", "difference", "probabilities", "expected_quantity"]
"""The columns of sql/join/joined.sql that scores depend on."""
SUSPECT_FROM = 0.05
"""The least p_wrong of a bin that is worth a recount: one record in twenty is wrong."""
SCORED_SCHEMA = pa.schema(
    [
        ("p_wrong", pa.float64()),
        ("p_off", pa.float64()),  # probability of a difference above the tolerance
        ("units_off", pa.float64()),  # expected difference, in items
        ("likely_count", pa.int32()),  # the most likely count, given photo and record
        ("count_if_wrong", pa.int32()),  # the most likely count except the record's
    ]
)


@dataclass(frozen=True)
class DiscrepancyScorer:
    """The scores of a bin, computed from the probabilities of its photo and from its record."""

    labels: CountLabels
    prior: tuple[float, ...]
    """The fraction of each label in the training photos."""
    errors: FittedErrorModel
    tolerance: int
    """The number of items that a record may be off by without counting for `p_off`."""

    def detect_label_shift(
        self, probabilities: NDArray[np.floating], expected_counts: NDArray[np.integer]
    ) -> NDArray[np.float64] | None:
        """Return the distribution of counts in this run if it is far from the training distribution, else None.

        `label_shift.estimate_class_prior` has the method and the limits.

        Args:
            probabilities: P(label | photo), float [N, labels].
            expected_counts: the smallest count of the label of each record, int [N]. A count that is not the smallest
                of a label is left out.

        Returns:
            float64 [labels], summing to 1.
        """
        covered = np.isin(expected_counts, self.labels.values)
        indices = np.searchsorted(self.labels.values, expected_counts[covered])
        return estimate_class_prior(probabilities[covered], indices, self.labels, self.prior, self.errors.model)

    def score(self, batch: pa.RecordBatch, class_prior: NDArray[np.float64] | None) -> pa.RecordBatch:
        """Return the scores of each row. They are null without a count, a record, or a label that covers the record.

        Args:
            batch: rows with the columns `SCORED_FROM` of sql/join/joined.sql.
            class_prior: the distribution of counts for which the probabilities are corrected; None to use them as they
                are.

        Returns:
            one row of `SCORED_SCHEMA` for each row.
        """
        scores: dict[str, NDArray[np.float64]] = {name: np.full(batch.num_rows, np.nan) for name in SCORED_SCHEMA.names}
        expected = pc.subtract(batch["predicted_count"], batch["difference"]).to_numpy(zero_copy_only=False)
        covered = np.isin(expected, self.labels.values)
        if covered.any():
            photo = as_matrix(batch["probabilities"].filter(pa.array(covered)), len(self.labels.names))
            probabilities = photo if class_prior is None else adjust_for_prior(photo, self.prior, class_prior)
            indices = np.searchsorted(self.labels.values, expected[covered])
            posteriors = posterior(probabilities, indices, self.labels, self.errors.model)
            values = np.array(self.labels.values)
            quantities = batch["expected_quantity"].filter(pa.array(covered)).to_numpy()
            scores["p_wrong"][covered] = p_wrong(posteriors, indices)
            scores["p_off"][covered] = p_off(posteriors, quantities, self.labels, self.tolerance)
            scores["units_off"][covered] = units_off(posteriors, quantities, self.labels)
            scores["likely_count"][covered] = values[most_likely(posteriors)]
            scores["count_if_wrong"][covered] = values[most_likely_if_wrong(posteriors, indices)]
        # `from_pandas` turns NaN into null.
        columns = [
            pa.array(scores[field.name], pa.float64(), from_pandas=True).cast(field.type) for field in SCORED_SCHEMA
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCORED_SCHEMA)


def as_matrix(lists: pa.ListArray | Sequence[Sequence[float]], width: int) -> NDArray[np.float32]:
    """Return the rows of a list column as a matrix.

    Args:
        lists: N lists of `width` numbers each, without null.
        width: the number of columns.

    Returns:
        float32 [N, width].
    """
    column = lists if isinstance(lists, pa.Array) else pa.array(lists, pa.list_(pa.float32()))
    values: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values
