"""How likely is the record wrong, given what the photo shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD_ERROR_RATE = 0.03
"""π, the share of records assumed to be wrong before any photo is looked at."""
_DECAY = 0.5
"""How much rarer a slip gets with each further item: off by two is half as likely as off by one."""


def p_wrong(
    probabilities: NDArray[np.floating], expected: NDArray[np.integer], error_rate: float = RECORD_ERROR_RATE
) -> NDArray[np.float64]:
    """Probability that the record is wrong, given the photo and the record.

    The record is taken as a noisy copy of the truth. It equals the true count c with probability 1 − π, and slips to
    another e with probability π q(e|c), where q falls geometrically with the distance and sums to 1 over e ≠ c:

        q(e|c) = d^|e − c| / Σ_{e' ≠ c} d^|e' − c|

    By Bayes' rule P(c | x, e) ∝ P(c|x) P(e|c), and all of it that does not lie on c = e says that the record is wrong:

        p_wrong = Σ_{c≠e} P(c|x) π q(e|c)  /  ( P(e|x) (1 − π) + Σ_{c≠e} P(c|x) π q(e|c) )

    Counts are places in the model's list of labels, so a label that lumps counts (6+) is one of them: a record of 9
    against a photo of 6+ is agreement, since a photo can tell no more.

    Args:
        probabilities: P(c|x), float [N, labels], rows summing to 1.
        expected: int [N], the place of each record's label.
        error_rate: π, over 0 and under 1.

    Returns:
        float64 [N], 0 to 1.
    """
    labels = probabilities.shape[1]
    places = np.arange(labels)
    slips = _DECAY ** np.abs(places[:, None] - places[None, :])  # [true c, record e]
    np.fill_diagonal(slips, 0.0)
    slips /= slips.sum(axis=1, keepdims=True)
    shares = probabilities.astype(np.float64)
    wrong = error_rate * np.einsum("nc,cn->n", shares, slips[:, expected])
    right = (1 - error_rate) * shares[np.arange(len(expected)), expected]
    evidence = wrong + right
    # A photo that rules out every count near the record, to the last bit, rules out the record.
    result: NDArray[np.float64] = np.divide(wrong, evidence, out=np.ones_like(wrong), where=evidence > 0)
    return result
