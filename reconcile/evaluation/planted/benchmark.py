"""Benchmark the recount queue on injected record errors: its order, and the accuracy of its predicted numbers."""

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
from reconcile.metrics.intervals import Z_95, resampled_mean
from reconcile.metrics.ranking import Ranking, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


REPETITIONS = 20
"""The number of times that other records are altered."""
CAPACITIES = (0.01, 0.02, 0.05, 0.10)
"""Fractions of the bins that people might recount in one run."""
P_WRONG = "p_wrong"
_BASELINES: dict[str, Callable[[NDArray[np.floating], NDArray[np.integer]], NDArray[np.float64]]] = {
    "self-confidence": self_confidence,
    "normalized margin": margin,
    "disagreement": disagreement,
}
_DECAYS = {"slips": ErrorModel.decay, "uniform": 1.0}
"""The decay of each kind of errors: small ones, which p_wrong assumes, and errors of any size, which it does not."""
_RESAMPLES = 400
"""Resamples of the bootstrap. A standard error is then exact to 4 %. Only its size is needed, not a tail."""
_RANGE_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Edges of the ranges of p_wrong. With ranges of equal width, nearly all bins would be in the first."""


@dataclass(frozen=True)
class _LabelledBins:
    """The bins whose records are altered."""

    probabilities: NDArray[np.floating]
    """P(c|x) under the training distribution, float [N, labels]."""
    truth: NDArray[np.int64]
    """The index of the label of each bin, int64 [N]."""
    labels: CountLabels
    prior: Sequence[float]
    """The fraction of each label in the training photos, [labels]."""


@dataclass(frozen=True)
class _InjectedRun:
    """One repetition: the altered records, and the scores of each method."""

    wrong: NDArray[np.bool_]
    """True for each altered record, bool [N]."""
    scores: dict[str, NDArray[np.float64]]
    """The scores by method, float64 [N]."""
    is_corrected: bool
    """True if the probabilities were corrected for label shift."""


def evaluate_planted(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.int64],
    labels: CountLabels,
    prior: Sequence[float],
    rate: float,
    seed: int,
) -> PlantedEvaluation:
    """Alter records, rank the bins, and count the altered records among the first bins, many times.

    All repetitions share their bins. The spread between repetitions shows only the effect of altering other records, so
    an interval from it would be far too narrow. Therefore bins are resampled, each with its results of all repetitions,
    and all means are computed again (bootstrap of clusters; Field and Welsh 2007, Bootstrapping Clustered Data, J. R.
    Statist. Soc. B 69:369-390). This includes the choice of the bins and of the altered records. The interval is the
    mean ± 1.96 standard errors. Percentiles would be biased, because copies of a bin in a resample are tied and raise
    its average precision.

    Args:
        probabilities: P(c|x) under the training distribution, float [N, labels].
        truth: the index of the label of each bin, assumed to be the true count, int64 [N].
        labels: the labels of the model.
        prior: the fraction of each label in the training photos, [labels].
        rate: the fraction of records to alter.
        seed: the seed of the first repetition.

    Raises:
        ReconcileError: there are too few bins to alter one record.
    """
    bins = _LabelledBins(probabilities, truth, labels, prior)
    number = number_to_inject(rate, len(truth))
    # A seed of two numbers, so that no resample uses the random stream of a repetition.
    rng = np.random.default_rng((seed, REPETITIONS))
    weights = np.ones((1 + _RESAMPLES, len(truth)), dtype=np.uint16)  # row 0 has the original bins
    for row in weights[1:]:
        row[:] = np.bincount(rng.integers(0, len(truth), size=len(truth)), minlength=len(truth))
    errors = []
    for name, decay in _DECAYS.items():
        rngs = [np.random.default_rng(seed + repetition) for repetition in range(REPETITIONS)]
        runs = [_injected_run(bins, ErrorModel(rate, decay), rng) for rng in rngs]
        errors.append(_errors(name, decay, rate, runs, weights))
    return PlantedEvaluation(rate, len(truth), number, REPETITIONS, seed, _RESAMPLES, tuple(errors))


def _injected_run(bins: _LabelledBins, injected: ErrorModel, rng: np.random.Generator) -> _InjectedRun:
    """Alter records and score the bins as a run does. All methods get the same probabilities."""
    injection = inject_errors(bins.truth, bins.labels, injected, rng)
    assumed, expected = ErrorModel(injected.rate), injection.expected
    class_prior = estimate_class_prior(bins.probabilities, expected, bins.labels, bins.prior, assumed)
    is_corrected = class_prior is not None
    probs = bins.probabilities if class_prior is None else adjust_for_prior(bins.probabilities, bins.prior, class_prior)
    p = p_wrong(posterior(probs, expected, bins.labels, assumed), expected)
    scores = {P_WRONG: p} | {name: score(probs, expected) for name, score in _BASELINES.items()}
    return _InjectedRun(injection.wrong, scores, is_corrected)


def _errors(
    name: str, decay: float, rate: float, runs: Sequence[_InjectedRun], weights: NDArray[np.uint16]
) -> PlantedErrors:
    """Return the results for one kind of errors.

    Args:
        name: the name of the kind.
        decay: the decay of the injected errors.
        rate: the fraction of altered records.
        runs: one for each repetition.
        weights: how often each bin is in each resample, [1 + resamples, N].
    """
    capacities = {fraction: max(1, round(fraction * weights.shape[1])) for fraction in CAPACITIES}
    wrong = np.array([weights[:, run.wrong].sum(axis=1, dtype=np.int64) for run in runs], dtype=np.float64)
    rankings = {
        method: [rank(run.scores[method], run.wrong, list(capacities.values()), weights) for run in runs]
        for method in (P_WRONG, *_BASELINES)
    }
    ranges = _ranges(runs, weights)
    return PlantedErrors(
        name=name,
        decay=decay,
        methods=tuple(
            _method(
                method, of_method, None if method == P_WRONG else rankings[P_WRONG], capacities, wrong, weights.shape[1]
            )
            for method, of_method in rankings.items()
        ),
        numbers=_expected_vs_found(runs, rankings[P_WRONG], capacities, rate),
        ranges=ranges,
        calibration_error=_calibration_error(ranges),
        corrected=sum(run.is_corrected for run in runs),
    )


def _method(
    name: str,
    rankings: Sequence[Ranking],
    of_p_wrong: Sequence[Ranking] | None,
    capacities: dict[float, int],
    wrong: NDArray[np.float64],
    bins: int,
) -> MethodResult:
    """Return the results of one method.

    Args:
        name: the name of the method.
        rankings: one for each repetition.
        of_p_wrong: the rankings of p_wrong; None for p_wrong itself.
        capacities: the number of first bins by fraction of all bins.
        wrong: the number of wrong records, float64 [repetitions, 1 + resamples].
        bins: the number of bins.
    """
    precisions = np.array([ranking.average_precision for ranking in rankings])
    first = []
    for column, (fraction, capacity) in enumerate(capacities.items()):
        hits = np.array([ranking.hits[:, column] for ranking in rankings])
        # A resample without a wrong record has no recall.
        recall = np.divide(hits, wrong, out=np.full_like(hits, np.nan), where=wrong > 0)
        first.append(
            TopKResult(
                share=fraction,
                bins=capacity,
                wrong=resampled_mean(hits, 0, capacity),
                precision=resampled_mean(hits / capacity, 0, 1),
                recall=resampled_mean(recall, 0, 1),
                lift=resampled_mean(recall * bins / capacity, 0, np.inf),
            )
        )
    return MethodResult(
        name=name,
        auroc=resampled_mean(np.array([ranking.auroc for ranking in rankings]), 0, 1),
        average_precision=resampled_mean(precisions, 0, 1),
        lead=None
        if of_p_wrong is None
        else resampled_mean(np.array([ranking.average_precision for ranking in of_p_wrong]) - precisions, -1, 1),
        first=tuple(first),
    )


def _expected_vs_found(
    runs: Sequence[_InjectedRun], rankings: Sequence[Ranking], capacities: dict[float, int], rate: float
) -> tuple[ExpectedVsFound, ...]:
    results = []
    for column, (fraction, capacity) in enumerate(capacities.items()):
        # As in a report, but the rate is known here.
        queues = [np.sort(run.scores[P_WRONG])[::-1][:capacity] for run in runs]
        expected = [expected_count(queue, rate, np.array([rate])) for queue in queues]
        hits = np.array([ranking.hits[:, column] for ranking in rankings])
        mean = float(hits[:, 0].mean())
        # A resample of one repetition has other bins, each with its own record. So the altered records differ, too.
        half_width = Z_95 * float(np.sqrt(hits[:, 1:].var(axis=1, ddof=1).mean()))
        results.append(
            ExpectedVsFound(
                share=fraction,
                bins=capacity,
                predicted=float(np.mean([number.value for number in expected])),
                predicted_range=(
                    float(np.mean([number.low for number in expected])),
                    float(np.mean([number.high for number in expected])),
                ),
                found=resampled_mean(hits, 0, capacity),
                one_night=(max(0.0, mean - half_width), min(float(capacity), mean + half_width)),
                inside=sum(
                    bool(number.low <= found <= number.high) for number, found in zip(expected, hits[:, 0], strict=True)
                ),
            )
        )
    return tuple(results)


def _ranges(runs: Sequence[_InjectedRun], weights: NDArray[np.uint16]) -> tuple[ProbabilityBin, ...]:
    """Return the results by range of p_wrong. A bin counts once for each repetition."""
    bins, sums, wrong = np.zeros((3, weights.shape[1], len(_RANGE_EDGES) - 1))
    row = np.arange(weights.shape[1])
    for run in runs:
        p = run.scores[P_WRONG]
        index = np.digitize(p, _RANGE_EDGES[1:-1])
        bins[row, index] += 1
        sums[row, index] += p
        wrong[row, index] += run.wrong
    # One resample at a time, because all weights as floats would fill the memory.
    number, number_wrong = (np.array([drawn @ each for drawn in weights]) for each in (bins, wrong))  # [B, ranges]
    fraction = np.divide(number_wrong, number, out=np.full_like(number, np.nan), where=number > 0)
    return tuple(
        ProbabilityBin(
            low=_RANGE_EDGES[index],
            high=_RANGE_EDGES[index + 1],
            bins=float(number[0, index] / len(runs)),
            p_wrong=float(sums[:, index].sum() / number[0, index]) if number[0, index] else None,
            wrong=resampled_mean(fraction[None, :, index], 0, 1) if number[0, index] else None,
        )
        for index in range(len(_RANGE_EDGES) - 1)
    )


def _calibration_error(ranges: Sequence[ProbabilityBin]) -> float:
    gaps = [
        bin_.bins * abs(bin_.wrong.value - bin_.p_wrong)
        for bin_ in ranges
        if bin_.wrong is not None and bin_.p_wrong is not None
    ]
    return sum(gaps) / sum(bin_.bins for bin_ in ranges)
