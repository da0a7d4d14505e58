"""Estimates with 95 % confidence intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


RESAMPLES = 2000
"""Resamples of the bootstrap. With this number, its 95 % limits are exact to about a tenth of the interval's width."""
Z_95 = 1.959964
"""The 97.5 % quantile of the standard normal distribution. A two-sided 95 % interval ends there."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval."""

    value: float
    """The figure."""
    low: float
    """The lower limit of the interval."""
    high: float
    """The upper limit of the interval."""

    def as_dict(self) -> dict[str, float]:
        """Return the fields for summary.json, rounded to four digits."""
        return {name: round(number, 4) for name, number in asdict(self).items()}


def wilson(correct: int, total: int) -> Estimate | None:
    """Return a fraction with its 95 % score interval (Wilson 1927, JASA 22:209-212).

    Args:
        correct: the number of successes, 0 to `total`.
        total: the number of trials.

    Returns:
        the fraction `correct / total`, 0 to 1, with its interval. None if there are no trials.
    """
    if total == 0:
        return None
    fraction, square = float(correct / total), Z_95 * Z_95
    centre = fraction + square / (2 * total)
    half_width = Z_95 * float(np.sqrt(fraction * (1 - fraction) / total + square / (4 * total * total)))
    scale = 1 + square / total
    # If none or all are correct, one limit is the fraction itself. Rounding would miss it.
    low, high = min(fraction, (centre - half_width) / scale), max(fraction, (centre + half_width) / scale)
    return Estimate(fraction, max(0.0, low), min(1.0, high))


def bootstrap(errors: NDArray[np.int64], rng: np.random.Generator) -> tuple[Estimate, Estimate]:
    """Return accuracy and RMSE with 95 % percentile bootstrap intervals (Efron 1979, Ann. Statist. 7:1-26).

    The bootstrap resamples photos. Both figures depend only on the squared error of each photo, which has few distinct
    values. Drawing N photos with replacement is the same as drawing how often each value occurs, from a multinomial
    distribution. Time and memory therefore do not depend on the number of photos.

    Args:
        errors: items counted minus items on record, int64 [N], with N > 0.
        rng: draws the resamples.

    Returns:
        the accuracy (0 to 1) and the RMSE (in items).
    """
    squares, photos = np.unique(errors * errors, return_counts=True)
    number = len(errors)
    draws = rng.multinomial(number, photos / number, size=RESAMPLES)  # [resamples, values]
    correct = squares == 0
    accuracies, rmses = draws[:, correct].sum(axis=1) / number, np.sqrt(draws @ squares / number)
    accuracy, rmse = float(photos[correct].sum() / number), float(np.sqrt(photos @ squares / number))
    return Estimate(accuracy, *_percentile_limits(accuracies)), Estimate(rmse, *_percentile_limits(rmses))


def resampled_mean(values: NDArray[np.float64], lower: float, upper: float) -> Estimate:
    """Return the mean over repetitions with its 95 % interval, mean ± 1.96 standard errors.

    The standard error is the standard deviation of the mean over bootstrap resamples (Efron and Tibshirani
    1993, An Introduction to the Bootstrap, chapter 6).

    Args:
        values: a figure by repetition and resample, float64 [repetitions, 1 + resamples]. The first column comes from
            the original sample. Values that are not finite are left out.
        lower: the smallest possible limit of the interval.
        upper: the largest possible limit of the interval.
    """
    finite = np.isfinite(values)
    numbers = finite.sum(axis=0)
    means = np.divide(np.where(finite, values, 0.0).sum(axis=0), numbers, where=numbers > 0, out=np.zeros(len(numbers)))
    resampled = means[1:][numbers[1:] > 0]
    half_width = Z_95 * float(resampled.std(ddof=1)) if len(resampled) > 1 else 0.0
    mean = float(means[0])
    return Estimate(mean, max(lower, mean - half_width), min(upper, mean + half_width))


def _percentile_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
