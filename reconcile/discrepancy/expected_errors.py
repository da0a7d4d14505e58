"""How many records are wrong, expected from p_wrong, with an interval that knows what is not known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model_fit import FittedErrorModel


_COUNTED_OUT = 1000
"""Up to so many bins the number's distribution is computed exactly; of more, a normal one is as good."""
_INSIDE = 0.95
_AT_ONCE = 20_000
"""Bins, so that what is computed in between stays in the processor's cache."""


@dataclass(frozen=True)
class Expected:
    """An expected number or share and its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """For summary.json."""
        return {name: round(number, 4) for name, number in asdict(self).items()}


@dataclass(frozen=True)
class ErrorEstimates:
    """What is to be expected of the records that were held against a photo."""

    wrong: Expected
    """Wrong records, those that recounts have found among them."""
    found: int
    """By recounts."""
    wrong_in_queue: Expected
    """Wrong records among the first bins of the recount queue."""
    accuracy: Expected
    """Share of records that are right within the tolerance: the trade's inventory record accuracy."""


def estimate_wrong_records(
    bins: Iterable[pd.DataFrame], errors: FittedErrorModel, capacity: int
) -> ErrorEstimates | None:
    """Sum up what judging said of each bin; what was recounted is known.

    Args:
        bins: rows of sql/expectation.sql, some at a time; of many, only sums are kept.
        errors: the error model p_wrong was computed with.
        capacity: how many bins of the queue can be recounted.

    Returns:
        None where no bin was held against its record.
    """
    number = known_wrong = known_off = 0
    rate, rates = errors.model.rate, errors.rates
    wrong, off, queued = (_WrongCount(rate, rates) for _ in range(3))
    for some in bins:
        number += len(some)
        known, unknown = some[some["is_wrong"].notna()], some[some["is_wrong"].isna()]
        known_wrong, known_off = known_wrong + int(known["is_wrong"].sum()), known_off + int(known["is_off"].sum())
        p = unknown["p_wrong"].to_numpy(dtype=np.float64)
        enough = np.divide(unknown["p_off"].to_numpy(dtype=np.float64), p, out=np.zeros_like(p), where=p > 0)
        wrong.add(p, np.ones_like(p))
        off.add(p, np.clip(enough, 0, 1))
        of_queue = p[(unknown["recount_rank"] <= capacity).to_numpy(dtype=bool)]
        queued.add(of_queue, np.ones_like(of_queue))
    if not number:
        return None
    right = _with_known(off.expected(), known_off)
    return ErrorEstimates(
        wrong=_with_known(wrong.expected(), known_wrong),
        found=known_wrong,
        wrong_in_queue=queued.expected(),
        accuracy=Expected(1 - right.value / number, 1 - right.high / number, 1 - right.low / number),
    )


def _with_known(expected: Expected, known: int) -> Expected:
    return Expected(expected.value + known, expected.low + known, expected.high + known)


def expected_count(
    p: NDArray[np.float64], rate: float, rates: NDArray[np.float64], share: NDArray[np.float64] | None = None
) -> Expected:
    """How many of these records are wrong.

    Two things are not known: which of the bins are the wrong ones, and the error rate π behind every p. For one π the
    number is a sum of independent yes and no (Poisson-binomial); the interval is that of the mixture over `rates`. The
    odds of p_wrong are proportional to those of π, so p under another π needs no photo:

        p' / (1 − p') = p / (1 − p) · [π' / (1 − π')] / [π / (1 − π)]

    Args:
        p: p_wrong, float64 [N].
        rate: π that p was computed with.
        rates: equally likely values of π, float64 [R].
        share: float64 [N], to count only so much of each: the probability that a wrong record is wrong by enough.

    Returns:
        the mean at `rate`, and the interval over all `rates`.
    """
    number = _WrongCount(rate, rates)
    number.add(p, np.ones_like(p) if share is None else share)
    return number.expected()


class _WrongCount:
    """How many of the records that are added are wrong; see `expected_number`. Of many, only sums are kept."""

    def __init__(self, rate: float, rates: NDArray[np.float64]) -> None:
        self._rate, self._rates = rate, rates
        self._few: tuple[NDArray[np.float64], NDArray[np.float64]] | None = (np.empty(0), np.empty(0))
        self._records = 0
        self._mean = 0.0
        self._means, self._variances = np.zeros(len(rates)), np.zeros(len(rates))

    def add(self, p: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Records: p_wrong of each, and how much of each counts, float64 [N]."""
        self._records += len(p)
        if self._few is not None:
            self._few = np.concatenate([self._few[0], p]), np.concatenate([self._few[1], weights])
            if self._records > _COUNTED_OUT:
                p, weights = self._few
                self._few = None
        if self._few is None:
            self._sum_up(p, weights)

    def _sum_up(self, p: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        self._mean += float((weights * p).sum())
        for start in range(0, len(p), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            for place, other in enumerate(self._rates):
                wrong = weights[part] * _under_another_rate(p[part], self._rate, other)
                self._means[place] += wrong.sum()
                self._variances[place] += (wrong * (1 - wrong)).sum()

    def expected(self) -> Expected:
        """The number and its interval."""
        if self._few is not None:
            p, weights = self._few
            chances = np.zeros(len(p) + 1)
            for other in self._rates:
                chances += poisson_binomial(_under_another_rate(p, self._rate, other) * weights) / len(self._rates)
            low, high = interval(chances)
            mean = float((weights * p).sum())
        else:
            normals = list(zip(self._means.tolist(), np.sqrt(self._variances).tolist(), strict=True))
            low, high = _normal_ends(normals, self._records)
            mean = self._mean
        return Expected(mean, min(low, mean), max(high, mean))


def _under_another_rate(p: NDArray[np.float64], rate: float, other: float) -> NDArray[np.float64]:
    scaled = _odds(p) * (_odds(other) / _odds(rate))
    result: NDArray[np.float64] = np.where(
        np.isinf(scaled), 1.0, scaled / (1 + np.where(np.isinf(scaled), 0.0, scaled))
    )
    return result


def poisson_binomial(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution of the number of successes in independent trials: float64 [N + 1] for p of float64 [N]."""
    chances = np.zeros(len(p) + 1)
    chances[0] = 1.0
    for done, one in enumerate(p):
        head = chances[: done + 2]
        head[1:] = head[1:] * (1 - one) + head[:-1] * one
        head[0] *= 1 - one
    return chances


def interval(chances: NDArray[np.float64]) -> tuple[float, float]:
    """The numbers between which 95 % of a distribution over 0, 1, 2 … lies: float64 [N + 1] of probabilities."""
    below = np.cumsum(chances)
    outside = (1 - _INSIDE) / 2
    return float(np.searchsorted(below, outside)), float(np.searchsorted(below, 1 - outside))


def _odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    return np.divide(values, 1 - values, out=np.full_like(values, np.inf), where=values < 1)


def _normal_ends(normals: list[tuple[float, float]], most: int) -> tuple[float, float]:
    """The same of a mixture of normal distributions, each given by its mean and deviation."""
    steps = np.linspace(-4, 4, 401)
    points = np.concatenate([mean + deviation * steps for mean, deviation in normals])
    masses = np.tile(np.exp(-(steps**2) / 2), len(normals))
    order = np.argsort(points)
    below = np.cumsum(masses[order]) / masses.sum()
    outside = (1 - _INSIDE) / 2
    low, high = (points[order][np.searchsorted(below, side)] for side in (outside, 1 - outside))
    return float(np.clip(low, 0, most)), float(np.clip(high, 0, most))
