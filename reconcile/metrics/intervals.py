"""Figures with their 95 % intervals: shares, and errors in items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


RESAMPLES = 2000
"""Of the bootstrap; its 95 % limits are then good to about a tenth of the interval's width."""
Z_95 = 1.959964
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, photos: int) -> Estimate | None:
    """Share `right` of `photos` and its score interval at 95 % (Wilson 1927, JASA 22:209-212); None of no photos."""
    if photos == 0:
        return None
    share, square = float(right / photos), Z_95 * Z_95
    centre = share + square / (2 * photos)
    reach = Z_95 * float(np.sqrt(share * (1 - share) / photos + square / (4 * photos * photos)))
    scale = 1 + square / photos
    # At no and at all right, one limit is the share itself, which rounding would miss.
    low, high = min(share, (centre - reach) / scale), max(share, (centre + reach) / scale)
    return Estimate(share, max(0.0, low), min(1.0, high))


def bootstrap(errors: NDArray[np.int64], rng: np.random.Generator) -> tuple[Estimate, Estimate]:
    """Accuracy and RMSE with percentile bootstrap intervals at 95 % over photos (Efron 1979, Ann. Statist. 7:1-26).

    Both figures need no more of a photo than its squared error, which takes a handful of values. To draw N photos with
    replacement is to draw how often each value comes up, from a multinomial distribution. That takes the same time and
    memory for 100 photos and for 100,000.

    Args:
        errors: items counted minus items on record, int64 [N], N over 0.
        rng: draws the resamples.

    Returns:
        accuracy (0 to 1) and RMSE (items).
    """
    squares, photos = np.unique(errors * errors, return_counts=True)
    number = len(errors)
    draws = rng.multinomial(number, photos / number, size=RESAMPLES)  # [resamples, values]
    right = squares == 0
    accuracies, rmses = draws[:, right].sum(axis=1) / number, np.sqrt(draws @ squares / number)
    accuracy, rmse = float(photos[right].sum() / number), float(np.sqrt(photos @ squares / number))
    return Estimate(accuracy, *_middle(accuracies)), Estimate(rmse, *_middle(rmses))


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
