"""Whether a model's probabilities come true, and how right it is where it is certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.metrics.intervals import RESAMPLES, Estimate, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


CALIBRATION_BINS = 15
"""As in Guo et al. 2017, section 5."""
_DRAWS = 500


@dataclass(frozen=True)
class ReliabilityBin:
    """Photos whose largest probability is over `low` and at most `high`; the figures are None where there are none."""

    low: float
    high: float
    photos: int
    probability: float | None
    """Mean of the largest probabilities."""
    accuracy: Estimate | None
    """Share counted the same, with its Wilson interval."""


@dataclass(frozen=True)
class Calibration:
    """Whether a probability of 70 % means right in 70 of 100 photos."""

    expected_error: float
    by_chance: float
    """What `expected_error` would be on average if all probabilities were true: chance alone, with so few photos."""
    by_chance_at_most: float
    """In 95 of 100 cases."""
    without_chance: Estimate | None
    """Root mean square of the error, free of what chance adds to it; None where no bin has two photos."""
    negative_log_likelihood: float
    brier: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class CoveragePoint:
    """The photos that the model is most certain of."""

    share: float
    """Of all photos."""
    photos: int
    least_probability: float
    """The smallest of their largest probabilities: keep the photos from here on to get this share."""
    accuracy: Estimate
    """Share counted the same, with its Wilson interval."""


def reliability(largest: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Accuracy against probability, in bins of equal width (Guo et al. 2017, On Calibration of Modern Neural Networks).

    Args:
        largest: the largest probability of each photo, float64 [N].
        right: whether the label with that probability is the one on record, bool [N].

    Returns:
        15 bins; the first is over 0 and at most 1/15, and so on.
    """
    places = np.clip(np.ceil(largest * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    photos = np.bincount(places, minlength=CALIBRATION_BINS)
    sums = np.bincount(places, weights=largest, minlength=CALIBRATION_BINS)
    rights = np.bincount(places[right], minlength=CALIBRATION_BINS)
    return tuple(
        ReliabilityBin(
            low=place / CALIBRATION_BINS,
            high=(place + 1) / CALIBRATION_BINS,
            photos=int(photos[place]),
            probability=float(sums[place] / photos[place]) if photos[place] else None,
            accuracy=wilson(int(rights[place]), int(photos[place])),
        )
        for place in range(CALIBRATION_BINS)
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Σ (photos in the bin / N) · |accuracy − mean probability| (Guo et al. 2017, equation 3), 0 to 1."""
    gaps = [
        found.photos * abs(found.accuracy.value - found.probability)
        for found in bins
        if found.accuracy is not None and found.probability is not None
    ]
    return sum(gaps) / sum(found.photos for found in bins)


def ece_if_calibrated(largest: NDArray[np.float64]) -> tuple[float, float]:
    """What the expected calibration error of honest probabilities would be on these photos.

    Whether each photo is right is drawn anew, 500 times, with the probability that the model gives: consistency
    resampling (Bröcker and Smith 2007, Increasing the Reliability of Reliability Diagrams, Wea. Forecasting
    22:651-661).

    Args:
        largest: the largest probability of each photo, float64 [N].

    Returns:
        mean and 95th percentile.
    """
    random = np.random.default_rng(0)
    drawn = [
        expected_calibration_error(reliability(largest, random.random(len(largest)) < largest)) for _ in range(_DRAWS)
    ]
    return float(np.mean(drawn)), float(np.quantile(drawn, 0.95))


def debiased_rms_calibration_error(bins: Sequence[ReliabilityBin], rng: np.random.Generator) -> Estimate | None:
    """Root mean square of accuracy − mean probability over the bins, estimated without bias, and its 95 % interval.

    `expected_calibration_error` takes what differs by chance for error, the more so the fewer photos there are. The
    mean square does not: of each bin's square, accuracy · (1 − accuracy) / (photos − 1) is taken off, which is what
    chance adds to it on average (Bröcker 2012, Estimating Reliability and Resolution of Probability Forecasts, Climate
    Dynamics 39:655-667; Kumar et al. 2019, Verified Uncertainty Calibration, definition 4.1). An expected calibration
    error is never larger than the root of the mean square over the same bins.

    Args:
        bins: of one evaluation; those of a single photo say nothing of chance and are left out.
        rng: draws the resamples of the interval, a pivotal bootstrap (Efron and Tibshirani 1993, An Introduction to the
            Bootstrap, section 13.4) in which every bin keeps its mean probability.

    Returns:
        three numbers of at least 0: a mean square that comes out below 0 is taken for 0. None where no bin has two
        photos.
    """
    used = [(row.photos, row.accuracy.value, row.probability) for row in bins if row.photos > 1 and row.accuracy]
    if not used:
        return None
    photos, accuracy, probability = (np.array(column, dtype=np.float64) for column in zip(*used, strict=True))
    number = int(photos.sum())

    def squared(photos: NDArray[np.float64], accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
        by_chance = accuracy * (1 - accuracy) / np.maximum(photos - 1, 1)
        squares: NDArray[np.float64] = (photos / number * (np.square(accuracy - probability) - by_chance)).sum(axis=-1)
        return squares

    found = float(squared(photos, accuracy))
    drawn = rng.multinomial(number, photos / number, size=RESAMPLES)  # [resamples, bins]
    rights = rng.binomial(drawn, accuracy)
    again = squared(drawn.astype(np.float64), rights / np.maximum(drawn, 1))
    # What is resampled is as far off as the bins are, chance included.
    strays = again - float((photos / number * np.square(accuracy - probability)).sum())
    low, high = np.percentile(strays, [2.5, 97.5])
    value, lowest, highest = (float(np.sqrt(max(0.0, square))) for square in (found, found - high, found - low))
    return Estimate(value, lowest, highest)


def negative_log_likelihood(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean of −ln P(label on record), in nats.

    A probability of 0 is taken as the smallest that float32 holds to full precision, so that one photo does not make
    it infinite.
    """
    own = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean())


def brier_score(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Mean over photos of Σ (P − y)², y being 1 for the label on record and else 0 (Brier 1950, Mon. Wea. Rev. 78:1-3).

    0 is best, 2 is certain and wrong every time.
    """
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(np.square(probabilities - wanted).sum(axis=1).mean())


def risk_coverage(largest: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[CoveragePoint, ...]:
    """Accuracy of the photos that the model is most certain of, for 1, 2, … 100 % of them.

    This is one minus the selective risk (El-Yaniv and Wiener 2010, JMLR 11:1605-1641). Photos of the same probability
    stay in the order they came in.

    Args:
        largest: the largest probability of each photo, float64 [N], N over 0.
        right: whether the label with that probability is the one on record, bool [N].

    Returns:
        100 points; each takes at least one photo.
    """
    order = np.argsort(-largest, kind="stable")
    rights = np.cumsum(right[order])
    points = []
    for percent in range(1, 101):
        photos = -(-percent * len(order) // 100)
        accuracy = wilson(int(rights[photos - 1]), photos)
        assert accuracy is not None
        points.append(CoveragePoint(percent / 100, photos, float(largest[order[photos - 1]]), accuracy))
    return tuple(points)


def calibration_of(shares: NDArray[np.float64], truth: NDArray[np.int64], rng: np.random.Generator) -> Calibration:
    """All of it, from probabilities, float64 [N, labels], and the places of the labels on record, int64 [N]."""
    largest = shares.max(axis=1)
    bins = reliability(largest, shares.argmax(axis=1) == truth)
    by_chance, by_chance_at_most = ece_if_calibrated(largest)
    return Calibration(
        expected_error=expected_calibration_error(bins),
        by_chance=by_chance,
        by_chance_at_most=by_chance_at_most,
        without_chance=debiased_rms_calibration_error(bins, rng),
        negative_log_likelihood=negative_log_likelihood(shares, truth),
        brier=brier_score(shares, truth),
        bins=bins,
    )
