"""Baseline scores to compare `p_wrong` with. A higher score means more suspicious; only the order matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def self_confidence(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return −P(e|x), the negative probability of the label on record.

    cleanlab's `self_confidence` is P(e|x) (Northcutt et al. 2021, Confident Learning, JAIR 70:1373-1411). −P(e|x) gives
    the same order as 1 − P(e|x), without the rounding of the subtraction.

    Args:
        probabilities: P(c|x), float [N, labels].
        expected: the index of the label of each record, int [N].

    Returns:
        float64 [N], −1 to 0.
    """
    result: NDArray[np.float64] = -probabilities[np.arange(len(expected)), expected].astype(np.float64)
    return result


def margin(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return max_{c≠e} P(c|x) − P(e|x), the margin of the best other label.

    cleanlab's `normalized_margin` is (1 − margin) / 2 (Northcutt et al. 2021).

    Args:
        probabilities: P(c|x), float [N, labels].
        expected: the index of the label of each record, int [N].

    Returns:
        float64 [N], −1 to 1.
    """
    others = probabilities.astype(np.float64)
    of_record = others[np.arange(len(expected)), expected]
    others[np.arange(len(expected)), expected] = -np.inf
    result: NDArray[np.float64] = others.max(axis=1) - of_record
    return result


def disagreement(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return 1 if the most likely label is not the label on record, else 0.

    Args:
        probabilities: P(c|x), float [N, labels].
        expected: the index of the label of each record, int [N].

    Returns:
        float64 [N].
    """
    result: NDArray[np.float64] = (probabilities.argmax(axis=1) != expected).astype(np.float64)
    return result
