"""Calibration of a model's probabilities, and its accuracy on the photos it is most certain of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.metrics.intervals import RESAMPLES, Estimate, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


CALIBRATION_BINS = 15
"""The number of probability ranges, as in Guo et al. 2017, section 5."""
_DRAWS = 500
"""The number of consistency resamples."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Photos whose largest probability is above `low` and at most `high`."""

    low: float
    high: float
    photos: int
    probability: float | None
    """The mean of the largest probabilities; None if the bin has no photo."""
    accuracy: Estimate | None
    """The fraction of photos that agree with the record, with its Wilson interval; None if the bin has no photo."""


@dataclass(frozen=True)
class Calibration:
    """The match of probabilities and frequencies: of photos counted with 70 %, about 70 in 100 should be correct."""

    expected_error: float
    """The expected calibration error, 0 to 1; see `expected_calibration_error`."""
    by_chance: float
    """The mean expected calibration error if all probabilities were true; see `ece_if_calibrated`."""
    by_chance_at_most: float
    """The 95th percentile of the same."""
    without_chance: Estimate | None
    """The unbiased root mean square error; see `debiased_rms_calibration_error`. None if no bin has two photos."""
    negative_log_likelihood: float
    """In nats; see `negative_log_likelihood`."""
    brier: float
    """The Brier score, 0 to 2; see `brier_score`."""
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class CoveragePoint:
    """The photos that the model is most certain of."""

    share: float
    """The fraction of these photos among all photos."""
    photos: int
    least_probability: float
    """The smallest of the largest probabilities of these photos."""
    accuracy: Estimate
    """The fraction of these photos that agree with the record, with its Wilson interval."""


def reliability(largest: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Compare accuracy with probability in bins of equal width.

    The bins are those of a reliability diagram (Guo et al. 2017, On Calibration of Modern Neural Networks, section 2).

    Args:
        largest: the largest probability of each photo, float64 [N].
        correct: whether the label with that probability is the one on record, bool [N].

    Returns:
        15 bins in rising order. The first bin is above 0 and at most 1/15.
    """
    indices = np.clip(np.ceil(largest * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    photos = np.bincount(indices, minlength=CALIBRATION_BINS)
    sums = np.bincount(indices, weights=largest, minlength=CALIBRATION_BINS)
    hits = np.bincount(indices[correct], minlength=CALIBRATION_BINS)
    return tuple(
        ReliabilityBin(
            low=index / CALIBRATION_BINS,
            high=(index + 1) / CALIBRATION_BINS,
            photos=int(photos[index]),
            probability=float(sums[index] / photos[index]) if photos[index] else None,
            accuracy=wilson(int(hits[index]), int(photos[index])),
        )
        for index in range(CALIBRATION_BINS)
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error, 0 to 1 (Guo et al. 2017, equation 3).

    ECE = Σ (photos in the bin / N) · |accuracy − mean probability|

    Args:
        bins: all bins of one evaluation. Empty bins are skipped.
    """
    gaps = [
        bin_.photos * abs(bin_.accuracy.value - bin_.probability)
        for bin_ in bins
        if bin_.accuracy is not None and bin_.probability is not None
    ]
    return sum(gaps) / sum(bin_.photos for bin_ in bins)


def ece_if_calibrated(largest: NDArray[np.float64]) -> tuple[float, float]:
    """Return the expected calibration error that true probabilities would have on these photos.

    The function draws 500 times whether each photo is correct, with the probability that the model gives. This is
    consistency resampling (Bröcker and Smith 2007, Increasing the Reliability of Reliability Diagrams, Wea. Forecasting
    22:651-661).

    Args:
        largest: the largest probability of each photo, float64 [N].

    Returns:
        the mean and the 95th percentile over the draws, 0 to 1.
    """
    rng = np.random.default_rng(0)
    drawn = [
        expected_calibration_error(reliability(largest, rng.random(len(largest)) < largest)) for _ in range(_DRAWS)
    ]
    return float(np.mean(drawn)), float(np.quantile(drawn, 0.95))


def debiased_rms_calibration_error(bins: Sequence[ReliabilityBin], rng: np.random.Generator) -> Estimate | None:
    """Return the root mean square of accuracy − mean probability over the bins, estimated without bias.

    `expected_calibration_error` counts random differences as error, and more so with fewer photos. The mean square can
    be corrected for this. On average, chance adds accuracy · (1 − accuracy) / (photos − 1) to the square of a bin. This
    term is subtracted (Bröcker 2012, Estimating Reliability and Resolution of Probability Forecasts, Climate Dynamics
    39:655-667; Kumar et al. 2019, Verified Uncertainty Calibration, definition 4.1). An expected calibration error is
    never larger than the root of the mean square over the same bins.

    The interval is a pivotal bootstrap (Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.4).
    Every bin keeps its mean probability in all resamples.

    Args:
        bins: all bins of one evaluation. Bins with a single photo are left out, because the effect of chance cannot be
            estimated from one photo.
        rng: draws the resamples of the interval.

    Returns:
        the error and its 95 % interval, all at least 0, because a negative mean square counts as 0. None if no bin has
        two photos.
    """
    used = [(bin_.photos, bin_.accuracy.value, bin_.probability) for bin_ in bins if bin_.photos > 1 and bin_.accuracy]
    if not used:
        return None
    photos, accuracy, probability = (np.array(column, dtype=np.float64) for column in zip(*used, strict=True))
    number = int(photos.sum())

    def mean_square(photos: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
        by_chance = accuracy * (1 - accuracy) / np.maximum(photos - 1, 1)
        squares: NDArray[np.float64] = (photos / number * (np.square(accuracy - probability) - by_chance)).sum(axis=-1)
        return squares

    estimate = float(mean_square(photos, accuracy))
    drawn = rng.multinomial(number, photos / number, size=RESAMPLES)  # [resamples, bins]
    hits = rng.binomial(drawn, accuracy)
    resampled = mean_square(drawn.astype(np.float64), hits / np.maximum(drawn, 1))
    # The true error of the resampled population is that of the bins, chance included.
    deviations = resampled - float((photos / number * np.square(accuracy - probability)).sum())
    low, high = np.percentile(deviations, [2.5, 97.5])
    roots = (float(np.sqrt(max(0.0, square))) for square in (estimate, estimate - high, estimate - low))
    return Estimate(*roots)


def negative_log_likelihood(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the mean of −ln P(label on record), in nats.

    A probability of 0 counts as the smallest normal number of float32, so that one photo cannot make the mean infinite.

    Args:
        probabilities: P(label | photo), float64 [N, labels].
        truth: the index of the label on record, int64 [N].
    """
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def brier_score(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the mean over photos of Σ (P − y)² (Brier 1950, Mon. Wea. Rev. 78:1-3).

    The sum goes over the labels. y is 1 for the label on record and 0 for the others.

    Args:
        probabilities: P(label | photo), float64 [N, labels].
        truth: the index of the label on record, int64 [N].

    Returns:
        0 (best) to 2 (certain and wrong for every photo).
    """
    targets = np.eye(probabilities.shape[1])[truth]
    return float(np.square(probabilities - targets).sum(axis=1).mean())


def risk_coverage(largest: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[CoveragePoint, ...]:
    """Return the accuracy on the 1, 2, … 100 % of photos that the model is most certain of.

    This accuracy is one minus the selective risk (El-Yaniv and Wiener 2010, On the Foundations of Noise-free Selective
    Classification, JMLR 11:1605-1641). Photos with equal probabilities keep their order.

    Args:
        largest: the largest probability of each photo, float64 [N], with N > 0.
        correct: whether the label with that probability is the one on record, bool [N].

    Returns:
        100 points in rising order. Each covers at least one photo.
    """
    order = np.argsort(-largest, kind="stable")
    hits = np.cumsum(correct[order])
    points = []
    for percent in range(1, 101):
        photos = -(-percent * len(order) // 100)
        accuracy = wilson(int(hits[photos - 1]), photos)
        assert accuracy is not None
        points.append(CoveragePoint(percent / 100, photos, float(largest[order[photos - 1]]), accuracy))
    return tuple(points)


def measure_calibration(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], rng: np.random.Generator
) -> Calibration:
    """Return all figures of `Calibration`.

    Args:
        probabilities: P(label | photo), float64 [N, labels], rows summing to 1.
        truth: the index of the label on record, int64 [N].
        rng: draws the resamples of the interval.
    """
    largest = probabilities.max(axis=1)
    bins = reliability(largest, probabilities.argmax(axis=1) == truth)
    by_chance, by_chance_at_most = ece_if_calibrated(largest)
    return Calibration(
        expected_error=expected_calibration_error(bins),
        by_chance=by_chance,
        by_chance_at_most=by_chance_at_most,
        without_chance=debiased_rms_calibration_error(bins, rng),
        negative_log_likelihood=negative_log_likelihood(probabilities, truth),
        brier=brier_score(probabilities, truth),
        bins=bins,
    )
