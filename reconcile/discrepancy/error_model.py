"""The error model of records: how often they are wrong, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


@dataclass(frozen=True)
class ErrorModel:
    """The frequency and the size of errors in records.

    A record states the true count c with probability 1 − `rate`. It states another count e with probability
    `rate` · q(e|c), where small errors are more likely than large ones:

        q(e|c) = w(c, e) · decay^|e − c| / Σ_{e' ≠ c} w(c, e') · decay^|e' − c|

    The weight w is `empty_weight` if c or e is 0, and 1 otherwise. Confusing an empty bin with a filled one has other
    causes than a miscount.
    """

    rate: float
    """π, the fraction of all records that are wrong, above 0 and below 1."""
    decay: float = 0.6
    """The factor by which each further item makes an error less likely, above 0. With 1, all sizes are equally likely.

    With 0.6, three in four errors are off by one or two items. Until recounts are known, the decay has to suit errors
    of unknown size; docs/explanation/how-a-record-is-judged.md has the measurement.
    """
    empty_weight: float = 1.0
    """The weight w of errors from or to an empty bin, above 0."""

    def error_matrix(self, labels: CountLabels) -> NDArray[np.float64]:
        """Return q(e|c), how a wrong record differs from the true count.

        Args:
            labels: the labels of the model. An open-ended label such as `6+` is one count.

        Returns:
            float64 [labels, labels], truth by record. Rows sum to 1, and the diagonal is 0.
        """
        counts = np.array(labels.values, dtype=np.float64)
        distance = np.abs(counts[:, None] - counts[None, :])
        np.fill_diagonal(distance, np.inf)
        # Distances from the nearest label give the same q. Without them, labels far apart would all underflow to 0.
        q: NDArray[np.float64] = self.decay ** (distance - distance.min(axis=1, keepdims=True))
        np.fill_diagonal(q, 0.0)
        q[(counts[:, None] == 0) | (counts[None, :] == 0)] *= self.empty_weight
        q /= q.sum(axis=1, keepdims=True)
        return q

    def record_given_truth(self, labels: CountLabels) -> NDArray[np.float64]:
        """Return P(e|c), the probability of each record given the true count.

        Args:
            labels: the labels of the model.

        Returns:
            float64 [labels, labels], truth by record. Rows sum to 1.
        """
        probabilities = self.rate * self.error_matrix(labels)
        np.fill_diagonal(probabilities, 1 - self.rate)
        return probabilities
