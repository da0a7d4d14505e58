"""What photo and record say together of each bin, as columns beside those of the join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.discrepancy.label_shift import tonights_mix, under_another_mix
from reconcile.discrepancy.posterior import (
    likeliest,
    likeliest_if_wrong,
    p_off,
    p_wrong,
    truth_given_photo_and_record,
    units_off,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model_fit import LearnedErrors
    from reconcile.labels import CountLabels


JUDGED_FROM = ["predicted_count", "difference", "probabilities", "expected_quantity"]
"""The columns of sql/reconciled.sql that are looked at."""
JUDGED_SCHEMA = pa.schema(
    [
        ("p_wrong", pa.float64()),
        ("p_off", pa.float64()),  # off by more than the tolerance
        ("units_off", pa.float64()),
        ("likely_count", pa.int32()),  # the most probable count, given photo and record
        ("count_if_wrong", pa.int32()),  # the most probable count but the record's
    ]
)


@dataclass(frozen=True)
class Judge:
    """Judges bins by photo and record."""

    labels: CountLabels
    prior: tuple[float, ...]
    """Share of each label among the photos that the model was trained on."""
    errors: LearnedErrors
    tolerance: int
    """Differences of so many items do not matter to p_off."""

    def mix_of(
        self, probabilities: NDArray[np.floating], expected_counts: NDArray[np.integer]
    ) -> NDArray[np.float64] | None:
        """Tonight's mix of counts, where it is far from training's; see `label_shift.tonights_mix`.

        Args:
            probabilities: float [N, labels].
            expected_counts: int [N]; bins whose record no label covers are left out.
        """
        covered = np.isin(expected_counts, self.labels.values)
        places = np.searchsorted(self.labels.values, expected_counts[covered])
        return tonights_mix(probabilities[covered], places, self.labels, self.prior, self.errors.model)

    def judge(self, batch: pa.RecordBatch, mix: NDArray[np.float64] | None) -> pa.RecordBatch:
        """What is to be said of each row; null where there is no count, no record, or no label that covers the record.

        Args:
            batch: rows of sql/reconciled.sql, JUDGED_FROM of them.
            mix: tonight's, if the probabilities are to be corrected for it.

        Returns:
            as many rows of JUDGED_SCHEMA.
        """
        added: dict[str, NDArray[np.float64]] = {name: np.full(batch.num_rows, np.nan) for name in JUDGED_SCHEMA.names}
        expected = pc.subtract(batch["predicted_count"], batch["difference"]).to_numpy(zero_copy_only=False)
        covered = np.isin(expected, self.labels.values)
        if covered.any():
            photo = matrix(batch["probabilities"].filter(pa.array(covered)), len(self.labels.names))
            probabilities = photo if mix is None else under_another_mix(photo, self.prior, mix)
            places = np.searchsorted(self.labels.values, expected[covered])
            truth = truth_given_photo_and_record(probabilities, places, self.labels, self.errors.model)
            values = np.array(self.labels.values)
            quantities = batch["expected_quantity"].filter(pa.array(covered)).to_numpy()
            added["p_wrong"][covered] = p_wrong(truth, places)
            added["p_off"][covered] = p_off(truth, quantities, self.labels, self.tolerance)
            added["units_off"][covered] = units_off(truth, quantities, self.labels)
            added["likely_count"][covered] = values[likeliest(truth)]
            added["count_if_wrong"][covered] = values[likeliest_if_wrong(truth, places)]
        # NaN becomes null.
        columns = [
            pa.array(added[field.name], pa.float64(), from_pandas=True).cast(field.type) for field in JUDGED_SCHEMA
        ]
        return pa.RecordBatch.from_arrays(columns, schema=JUDGED_SCHEMA)


def matrix(lists: pa.ListArray | Sequence[Sequence[float]], width: int) -> NDArray[np.float32]:
    """Rows of a list column as float32 [N, width]."""
    column = lists if isinstance(lists, pa.Array) else pa.array(lists, pa.list_(pa.float32()))
    values: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values
