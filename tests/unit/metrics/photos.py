"""Labels and probabilities for the tests of the metrics."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reconcile.labels import CountLabels

SEVEN = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))


class Photos(NamedTuple):
    """The arguments of `evaluate` for each photo."""

    probabilities: NDArray[np.float32]
    """float32 [N, 7]."""
    counts: list[int]
    squashed: list[bool | None]

    def top_labels(self):
        """Return (label on record, predicted label, probability) of each photo; 6 stands for 6+."""
        return [
            (min(count, 6), row.index(max(row)), max(row))
            for row, count in zip(self.probabilities.tolist(), self.counts, strict=True)
        ]


def certain_rows(*labels, number_of_labels=7, certainty=0.9):
    """Return one row a photo: the model gives `certainty` to the label at that index."""
    rows = np.full((len(labels), number_of_labels), (1 - certainty) / (number_of_labels - 1))
    rows[np.arange(len(labels)), labels] = certainty
    return rows
