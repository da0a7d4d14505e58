"""How well p_wrong and its rivals find planted discrepancies, and whether its numbers come true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.expected_errors import expected_count
from reconcile.discrepancy.label_shift import adjust_for_prior, estimate_class_prior
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.evaluation.planted.baselines import disagreement, margin, self_confidence
from reconcile.evaluation.planted.injection import inject_errors, number_to_inject
from reconcile.evaluation.planted.results import (
    ExpectedVsFound,
    MethodResult,
    PlantedErrors,
    PlantedEvaluation,
    ProbabilityBin,
    TopKResult,
)
from reconcile.metrics.intervals import Estimate
from reconcile.metrics.ranking import Ranking, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


PLANTINGS = 20
CAPACITIES = (0.01, 0.02, 0.05, 0.10)
"""Shares of the bins that one night's people might recount."""
P_WRONG = "p_wrong"
_BASELINES: dict[str, Callable[[NDArray[np.floating], NDArray[np.integer]], NDArray[np.float64]]] = {
    "self-confidence": self_confidence,
    "normalized margin": margin,
    "disagreement": disagreement,
}
_DECAYS = {"slips": ErrorModel.decay, "uniform": 1.0}
"""What is planted: errors as p_wrong takes them to be, and errors that it does not expect."""
_RESAMPLES = 400
"""Of the bootstrap; a standard error is then good to 4 %, as only its size is needed and no tail."""
_RANGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Edges; most bins have a small p_wrong, so that ranges of equal width would put nearly all into the first."""
_Z = 1.959964
"""The 97.5 % point of the normal distribution."""


def evaluate_planted(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.int64],
    labels: CountLabels,
    prior: Sequence[float],
    rate: float,
    seed: int,
) -> PlantedEvaluation:
    """Alter records, rank the bins, and look how many of the first ones are the altered ones; many times over.

    **Intervals.** The plantings share their bins. The spread between plantings alone says how far other altered records
    could move a mean, and nothing of other bins, so an interval from it would be too narrow by far. Here bins are drawn
    with replacement, each with all that happened to it in every planting, and all means are taken again (bootstrap of
    clusters; Field and Welsh 2007, J. R. Statist. Soc. B 69:369-390). That holds both the choice of the bins and the
    choice of the altered records. The interval is the mean ± 1.96 standard errors: average precision of a resample is
    biased upwards, as copies of a bin stand beside each other, and percentiles would take that over.

    Args:
        probabilities: P(c|x) under the training mix, float [N, labels].
        truth: int64 [N], the place of each bin's label, which is taken for the truth.
        labels: the model's.
        prior: share of each label in training, [labels].
        rate: share of the records to alter.
        seed: of the first planting.

    Raises:
        ReconcileError: too few bins to alter one record.
    """
    bins, number = len(truth), number_to_inject(rate, len(truth))
    # Two numbers, so that no resample is drawn from the same stream as a planting.
    rng = np.random.default_rng((seed, PLANTINGS))
    weights = np.ones((1 + _RESAMPLES, bins), dtype=np.uint16)  # the first row: the bins as they are
    for row in weights[1:]:
        row[:] = np.bincount(rng.integers(0, bins, size=bins), minlength=bins)
    errors = []
    for name, decay in _DECAYS.items():
        rngs = [np.random.default_rng(seed + planting) for planting in range(PLANTINGS)]
        nights = [_injected_run(probabilities, truth, labels, prior, rate, decay, rng) for rng in rngs]
        errors.append(_errors(name, decay, rate, nights, weights))
    return PlantedEvaluation(rate, bins, number, PLANTINGS, seed, _RESAMPLES, tuple(errors))


@dataclass(frozen=True)
class _InjectedRun:
    """One planting as the methods see it."""

    wrong: NDArray[np.bool_]
    scores: dict[str, NDArray[np.float64]]
    """By method, float64 [N]."""
    is_corrected: bool


def _injected_run(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.int64],
    labels: CountLabels,
    prior: Sequence[float],
    rate: float,
    decay: float,
    rng: np.random.Generator,
) -> _InjectedRun:
    """Plant, then judge as a night does; all methods are given the same probabilities."""
    planting = inject_errors(truth, labels, ErrorModel(rate, decay), rng)
    assumed, expected = ErrorModel(rate), planting.expected
    mix = estimate_class_prior(probabilities, expected, labels, prior, assumed)
    shares = probabilities if mix is None else adjust_for_prior(probabilities, prior, mix)
    p = p_wrong(posterior(shares, expected, labels, assumed), expected)
    scores = {P_WRONG: p} | {name: score(shares, expected) for name, score in _BASELINES.items()}
    return _InjectedRun(planting.wrong, scores, mix is not None)


def _errors(
    name: str, decay: float, rate: float, nights: Sequence[_InjectedRun], weights: NDArray[np.uint16]
) -> PlantedErrors:
    capacities = {share: max(1, round(share * weights.shape[1])) for share in CAPACITIES}
    wrong = np.array([weights[:, night.wrong].sum(axis=1, dtype=np.int64) for night in nights], dtype=np.float64)
    rankings = {
        method: [rank(night.scores[method], night.wrong, list(capacities.values()), weights) for night in nights]
        for method in (P_WRONG, *_BASELINES)
    }
    ranges = _ranges(nights, weights)
    return PlantedErrors(
        name=name,
        decay=decay,
        methods=tuple(
            _method(
                method, found, None if method == P_WRONG else rankings[P_WRONG], capacities, wrong, weights.shape[1]
            )
            for method, found in rankings.items()
        ),
        numbers=_numbers(nights, rankings[P_WRONG], capacities, rate),
        ranges=ranges,
        calibration_error=_calibration_error(ranges),
        corrected=sum(night.is_corrected for night in nights),
    )


def _method(
    name: str,
    found: Sequence[Ranking],
    ours: Sequence[Ranking] | None,
    capacities: dict[float, int],
    wrong: NDArray[np.float64],
    bins: int,
) -> MethodResult:
    """The figures of one method; `wrong` are the wrong records in each planting, float64 [plantings, B]."""
    precisions = np.array([ranking.average_precision for ranking in found])
    first = []
    for column, (share, capacity) in enumerate(capacities.items()):
        hits = np.array([ranking.hits[:, column] for ranking in found])
        # Without a wrong record there is nothing to find.
        recall = np.divide(hits, wrong, out=np.full_like(hits, np.nan), where=wrong > 0)
        first.append(
            TopKResult(
                share=share,
                bins=capacity,
                wrong=_estimate(hits, 0, capacity),
                precision=_estimate(hits / capacity, 0, 1),
                recall=_estimate(recall, 0, 1),
                lift=_estimate(recall * bins / capacity, 0, np.inf),
            )
        )
    return MethodResult(
        name=name,
        auroc=_estimate(np.array([ranking.auroc for ranking in found]), 0, 1),
        average_precision=_estimate(precisions, 0, 1),
        lead=None
        if ours is None
        else _estimate(np.array([ranking.average_precision for ranking in ours]) - precisions, -1, 1),
        first=tuple(first),
    )


def _numbers(
    nights: Sequence[_InjectedRun], found: Sequence[Ranking], capacities: dict[float, int], rate: float
) -> tuple[ExpectedVsFound, ...]:
    numbers = []
    for column, (share, capacity) in enumerate(capacities.items()):
        # As a report says it; of the rate nothing is left to learn here.
        queues = [np.sort(night.scores[P_WRONG])[::-1][:capacity] for night in nights]
        said = [expected_count(queue, rate, np.array([rate])) for queue in queues]
        hits = np.array([ranking.hits[:, column] for ranking in found])
        mean = float(hits[:, 0].mean())
        # A resample of one planting differs by its bins and, as each brings its record along, by which are altered.
        reach = _Z * float(np.sqrt(hits[:, 1:].var(axis=1, ddof=1).mean()))
        numbers.append(
            ExpectedVsFound(
                share=share,
                bins=capacity,
                predicted=float(np.mean([number.value for number in said])),
                predicted_range=(
                    float(np.mean([number.low for number in said])),
                    float(np.mean([number.high for number in said])),
                ),
                found=_estimate(hits, 0, capacity),
                one_night=(max(0.0, mean - reach), min(float(capacity), mean + reach)),
                inside=sum(
                    bool(number.low <= night[0] <= number.high) for number, night in zip(said, hits, strict=True)
                ),
            )
        )
    return tuple(numbers)


def _ranges(nights: Sequence[_InjectedRun], weights: NDArray[np.uint16]) -> tuple[ProbabilityBin, ...]:
    """All plantings together: a bin counts once for each."""
    bins, sums, wrong = np.zeros((3, weights.shape[1], len(_RANGES) - 1))
    row = np.arange(weights.shape[1])
    for night in nights:
        p = night.scores[P_WRONG]
        place = np.digitize(p, _RANGES[1:-1])
        bins[row, place] += 1
        sums[row, place] += p
        wrong[row, place] += night.wrong
    # Row by row: all weights as floats would fill the memory.
    number, of_wrong = (np.array([drawn @ each for drawn in weights]) for each in (bins, wrong))  # [B, ranges]
    share = np.divide(of_wrong, number, out=np.full_like(number, np.nan), where=number > 0)
    return tuple(
        ProbabilityBin(
            low=_RANGES[place],
            high=_RANGES[place + 1],
            bins=float(number[0, place] / len(nights)),
            p_wrong=float(sums[:, place].sum() / number[0, place]) if number[0, place] else None,
            wrong=_estimate(share[None, :, place], 0, 1) if number[0, place] else None,
        )
        for place in range(len(_RANGES) - 1)
    )


def _calibration_error(ranges: Sequence[ProbabilityBin]) -> float:
    gaps = [
        found.bins * abs(found.wrong.value - found.p_wrong)
        for found in ranges
        if found.wrong is not None and found.p_wrong is not None
    ]
    return sum(gaps) / sum(found.bins for found in ranges)


def _estimate(values: NDArray[np.float64], least: float, most: float) -> Estimate:
    """The mean over plantings with its interval.

    Args:
        values: float64 [plantings, 1 + resamples], the first column from the bins as they are. What is not a number (a
            resample without a wrong record) is left out.
        least: the interval ends here.
        most: and here.
    """
    given = np.isfinite(values)
    numbers = given.sum(axis=0)
    means = np.divide(np.where(given, values, 0.0).sum(axis=0), numbers, where=numbers > 0, out=np.zeros(len(numbers)))
    resampled = means[1:][numbers[1:] > 0]
    reach = _Z * float(resampled.std(ddof=1)) if len(resampled) > 1 else 0.0
    value = float(means[0])
    return Estimate(value, max(least, value - reach), min(most, value + reach))
