"""Estimate the number of wrong records from `p_wrong`.

The interval of the estimate includes the uncertainty of the error rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.metrics.intervals import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model_fit import FittedErrorModel


_MAX_EXACT_BINS = 1000
"""Up to this number of bins the distribution is computed exactly. For more, a normal distribution is close enough."""
_COVERAGE = 0.95
_BINS_AT_ONCE = 20_000
"""The number of bins in one pass, so that intermediate results stay in the processor's cache."""


@dataclass(frozen=True)
class ErrorEstimates:
    """Estimates about the records that were compared with a photo."""

    wrong: Estimate
    """The number of wrong records, including those that recounts found."""
    found_wrong: int
    """The number of wrong records that recounts found."""
    wrong_in_queue: Estimate
    """The number of wrong records among the first bins of the recount queue."""
    accuracy: Estimate
    """The fraction of records that are correct within the tolerance, called inventory record accuracy."""


def estimate_wrong_records(
    bins: Iterable[pd.DataFrame], errors: FittedErrorModel, capacity: int
) -> ErrorEstimates | None:
    """Estimate the number of wrong records from the scores of all bins. A recounted bin counts as 1 or 0.

    Args:
        bins: rows of sql/figures/error_probabilities.sql, in batches. Only sums are kept if there are many bins.
        errors: the error model from which `p_wrong` was computed.
        capacity: the number of bins of the queue that can be recounted.

    Returns:
        None if no bin was compared with its record.
    """
    number = known_wrong = known_off = 0
    rate, rates = errors.model.rate, errors.rates
    wrong, off, queued = (_WrongCount(rate, rates) for _ in range(3))
    for batch in bins:
        number += len(batch)
        known, unknown = batch[batch["is_wrong"].notna()], batch[batch["is_wrong"].isna()]
        known_wrong, known_off = known_wrong + int(known["is_wrong"].sum()), known_off + int(known["is_off"].sum())
        p = unknown["p_wrong"].to_numpy(dtype=np.float64)
        off_if_wrong = np.divide(unknown["p_off"].to_numpy(dtype=np.float64), p, out=np.zeros_like(p), where=p > 0)
        wrong.add(p, np.ones_like(p))
        off.add(p, np.clip(off_if_wrong, 0, 1))
        p_queued = p[(unknown["recount_rank"] <= capacity).to_numpy(dtype=bool)]
        queued.add(p_queued, np.ones_like(p_queued))
    if not number:
        return None
    all_off = _add_known(off.estimate(), known_off)
    return ErrorEstimates(
        wrong=_add_known(wrong.estimate(), known_wrong),
        found_wrong=known_wrong,
        wrong_in_queue=queued.estimate(),
        accuracy=Estimate(1 - all_off.value / number, 1 - all_off.high / number, 1 - all_off.low / number),
    )


def _add_known(estimate: Estimate, known: int) -> Estimate:
    return Estimate(estimate.value + known, estimate.low + known, estimate.high + known)


def expected_count(
    p: NDArray[np.float64], rate: float, rates: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> Estimate:
    """Return the expected number of wrong records with its 95 % interval.

    Two things are unknown: which records are wrong, and the error rate π behind every p. For one π the number follows a
    Poisson-binomial distribution, because it is a sum of independent yes-or-no trials. The interval is that of the
    mixture over `rates`. The odds of p_wrong are proportional to the odds of π, so another π' needs no photo:

        p' / (1 − p') = p / (1 − p) · [π' / (1 − π')] / [π / (1 − π)]

    Args:
        p: p_wrong of each record, float64 [N].
        rate: the rate π from which `p` was computed.
        rates: equally likely values of π, float64 [R].
        weights: the probability that a wrong record counts, for example because it is off by enough, float64 [N]. None
            means 1.

    Returns:
        the mean at `rate`, and the interval over all `rates`.
    """
    count = _WrongCount(rate, rates)
    count.add(p, np.ones_like(p) if weights is None else weights)
    return count.estimate()


class _WrongCount:
    """The number of wrong records among those added; see `expected_count`. Only sums are kept if there are many.

    Args:
        rate: the rate π from which p_wrong was computed.
        rates: equally likely values of π, float64 [R].
    """

    def __init__(self, rate: float, rates: NDArray[np.float64]) -> None:
        self._rate, self._rates = rate, rates
        self._exact: tuple[NDArray[np.float64], NDArray[np.float64]] | None = (np.empty(0), np.empty(0))
        self._records = 0
        self._mean = 0.0
        self._means, self._variances = np.zeros(len(rates)), np.zeros(len(rates))

    def add(self, p: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Add records.

        Args:
            p: p_wrong of each record, float64 [N].
            weights: the probability that a wrong record counts, float64 [N].
        """
        self._records += len(p)
        if self._exact is not None:
            self._exact = np.concatenate([self._exact[0], p]), np.concatenate([self._exact[1], weights])
            if self._records > _MAX_EXACT_BINS:
                p, weights = self._exact
                self._exact = None
        if self._exact is None:
            self._add_to_sums(p, weights)

    def _add_to_sums(self, p: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        self._mean += float((weights * p).sum())
        for start in range(0, len(p), _BINS_AT_ONCE):
            part = slice(start, start + _BINS_AT_ONCE)
            for index, other in enumerate(self._rates):
                wrong = weights[part] * _at_other_rate(p[part], self._rate, other)
                self._means[index] += wrong.sum()
                self._variances[index] += (wrong * (1 - wrong)).sum()

    def estimate(self) -> Estimate:
        """Return the expected number and its interval."""
        if self._exact is not None:
            p, weights = self._exact
            distribution = np.zeros(len(p) + 1)
            for other in self._rates:
                distribution += poisson_binomial(_at_other_rate(p, self._rate, other) * weights) / len(self._rates)
            low, high = interval(distribution)
            mean = float((weights * p).sum())
        else:
            normals = list(zip(self._means.tolist(), np.sqrt(self._variances).tolist(), strict=True))
            low, high = _normal_mixture_interval(normals, self._records)
            mean = self._mean
        return Estimate(mean, min(low, mean), max(high, mean))


def _at_other_rate(p: NDArray[np.float64], rate: float, other: float) -> NDArray[np.float64]:
    """Convert p_wrong from one error rate to another; see the formula in `expected_count`."""
    odds = _odds(p) * (_odds(other) / _odds(rate))
    result: NDArray[np.float64] = np.where(np.isinf(odds), 1.0, odds / (1 + np.where(np.isinf(odds), 0.0, odds)))
    return result


def poisson_binomial(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distribution of the number of successes in independent trials.

    Args:
        p: the probability of success of each trial, float64 [N].

    Returns:
        the probability of 0, 1, … N successes, float64 [N + 1].
    """
    distribution = np.zeros(len(p) + 1)
    distribution[0] = 1.0
    for done, success in enumerate(p):
        head = distribution[: done + 2]
        head[1:] = head[1:] * (1 - success) + head[:-1] * success
        head[0] *= 1 - success
    return distribution


def interval(distribution: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of a distribution over whole numbers.

    Args:
        distribution: the probability of 0, 1, … N, float64 [N + 1].
    """
    cumulative = np.cumsum(distribution)
    tail = (1 - _COVERAGE) / 2
    return float(np.searchsorted(cumulative, tail)), float(np.searchsorted(cumulative, 1 - tail))


def _odds(p: NDArray[np.float64] | float) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    return np.divide(values, 1 - values, out=np.full_like(values, np.inf), where=values < 1)


def _normal_mixture_interval(normals: list[tuple[float, float]], upper: int) -> tuple[float, float]:
    """Return the same quantiles of a mixture of normal distributions.

    Args:
        normals: the mean and the standard deviation of each.
        upper: quantiles are limited to 0 to `upper`.
    """
    steps = np.linspace(-4, 4, 401)
    points = np.concatenate([mean + deviation * steps for mean, deviation in normals])
    masses = np.tile(np.exp(-(steps**2) / 2), len(normals))
    order = np.argsort(points)
    cumulative = np.cumsum(masses[order]) / masses.sum()
    tail = (1 - _COVERAGE) / 2
    low, high = (points[order][np.searchsorted(cumulative, quantile)] for quantile in (tail, 1 - tail))
    return float(np.clip(low, 0, upper)), float(np.clip(high, 0, upper))
