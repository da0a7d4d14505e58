"""What others than p_wrong take for suspicious; higher is more so, and only the order counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def self_confidence(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """−P(e|x), float64 [N]: orders as 1 − P(e|x) does, without what that loses to rounding.

    cleanlab's `self_confidence` is P(e|x) (Northcutt et al. 2021, Confident Learning, JAIR 70:1373-1411).

    Args:
        probabilities: P(c|x), float [N, labels].
        expected: int [N], the place of each record's label.
    """
    result: NDArray[np.float64] = -probabilities[np.arange(len(expected)), expected].astype(np.float64)
    return result


def margin(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """max_{c≠e} P(c|x) − P(e|x), float64 [N], −1 to 1.

    cleanlab's `normalized_margin` is (1 − this) / 2. Arguments as in `self_confidence`.
    """
    others = probabilities.astype(np.float64)
    own = others[np.arange(len(expected)), expected]
    others[np.arange(len(expected)), expected] = -np.inf
    result: NDArray[np.float64] = others.max(axis=1) - own
    return result


def disagreement(probabilities: NDArray[np.floating], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """1 where the most probable count is not the record's, else 0: float64 [N]. Arguments as in `self_confidence`."""
    result: NDArray[np.float64] = (probabilities.argmax(axis=1) != expected).astype(np.float64)
    return result
