"""What photo and record say together of each bin, as columns beside those of the join."""

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
"""The columns of sql/reconciled.sql that are looked at."""
SCORED_SCHEMA = pa.schema(
    [
        ("p_wrong", pa.float64()),
        ("p_off", pa.float64()),  # off by more than the tolerance
        ("units_off", pa.float64()),
        ("likely_count", pa.int32()),  # the most probable count, given photo and record
        ("count_if_wrong", pa.int32()),  # the most probable count but the record's
    ]
)


@dataclass(frozen=True)
class DiscrepancyScorer:
    """Judges bins by photo and record."""

    labels: CountLabels
    prior: tuple[float, ...]
    """Share of each label among the photos that the model was trained on."""
    errors: FittedErrorModel
    tolerance: int
    """Differences of so many items do not matter to p_off."""

    def class_prior_of(
        self, probabilities: NDArray[np.floating], expected_counts: NDArray[np.integer]
    ) -> NDArray[np.float64] | None:
        """Tonight's mix of counts, where it is far from training's; see `label_shift.tonights_mix`.

        Args:
            probabilities: float [N, labels].
            expected_counts: int [N]; bins whose record no label covers are left out.
        """
        covered = np.isin(expected_counts, self.labels.values)
        places = np.searchsorted(self.labels.values, expected_counts[covered])
        return estimate_class_prior(probabilities[covered], places, self.labels, self.prior, self.errors.model)

    def score(self, batch: pa.RecordBatch, mix: NDArray[np.float64] | None) -> pa.RecordBatch:
        """What is to be said of each row; null where there is no count, no record, or no label that covers the record.

        Args:
            batch: rows of sql/reconciled.sql, JUDGED_FROM of them.
            mix: tonight's, if the probabilities are to be corrected for it.

        Returns:
            as many rows of JUDGED_SCHEMA.
        """
        added: dict[str, NDArray[np.float64]] = {name: np.full(batch.num_rows, np.nan) for name in SCORED_SCHEMA.names}
        expected = pc.subtract(batch["predicted_count"], batch["difference"]).to_numpy(zero_copy_only=False)
        covered = np.isin(expected, self.labels.values)
        if covered.any():
            photo = as_matrix(batch["probabilities"].filter(pa.array(covered)), len(self.labels.names))
            probabilities = photo if mix is None else adjust_for_prior(photo, self.prior, mix)
            places = np.searchsorted(self.labels.values, expected[covered])
            truth = posterior(probabilities, places, self.labels, self.errors.model)
            values = np.array(self.labels.values)
            quantities = batch["expected_quantity"].filter(pa.array(covered)).to_numpy()
            added["p_wrong"][covered] = p_wrong(truth, places)
            added["p_off"][covered] = p_off(truth, quantities, self.labels, self.tolerance)
            added["units_off"][covered] = units_off(truth, quantities, self.labels)
            added["likely_count"][covered] = values[most_likely(truth)]
            added["count_if_wrong"][covered] = values[most_likely_if_wrong(truth, places)]
        # NaN becomes null.
        columns = [
            pa.array(added[field.name], pa.float64(), from_pandas=True).cast(field.type) for field in SCORED_SCHEMA
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCORED_SCHEMA)


def as_matrix(lists: pa.ListArray | Sequence[Sequence[float]], width: int) -> NDArray[np.float32]:
    """Rows of a list column as float32 [N, width]."""
    column = lists if isinstance(lists, pa.Array) else pa.array(lists, pa.list_(pa.float32()))
    values: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values
