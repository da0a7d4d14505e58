"""Result types of the benchmark. Their fields are those of evaluation.json.

The benchmark alters records several times. Unless stated otherwise, a figure is the mean over these repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconcile.metrics.intervals import Estimate


@dataclass(frozen=True)
class TopKResult:
    """The first bins in the order of one method."""

    share: float
    """The fraction of these bins among all bins."""
    bins: int
    """The number of these bins, k."""
    wrong: Estimate
    """The number of wrong records among these bins. It is an expectation if ties are broken at random."""
    precision: Estimate
    """The fraction of these records that is wrong."""
    recall: Estimate
    """The fraction of all wrong records that is among these bins."""
    lift: Estimate
    """The number of wrong records divided by the expected number in random order."""


@dataclass(frozen=True)
class MethodResult:
    """The quality of the ranking of one method, which should put wrong records first."""

    name: str
    auroc: Estimate
    average_precision: Estimate
    lead: Estimate | None
    """The average precision of p_wrong minus that of this method, on the same bins and altered records.

    None for p_wrong itself.
    """
    first: tuple[TopKResult, ...]
    """One result for each capacity."""


@dataclass(frozen=True)
class ExpectedVsFound:
    """The number of wrong records among the first bins: expected from p_wrong, and found."""

    share: float
    """The fraction of the first bins of all bins."""
    bins: int
    """The number of the first bins."""
    predicted: float
    """The sum of p_wrong of the first bins."""
    predicted_range: tuple[float, float]
    """The limits of the 95 % interval that the report of a run states."""
    found: Estimate
    """The number of wrong records."""
    one_night: tuple[float, float]
    """The range of that number in 95 % of runs, with other bins and other altered records."""
    inside: int
    """The number of repetitions in which the number lies within the predicted interval."""


@dataclass(frozen=True)
class ProbabilityBin:
    """The bins whose p_wrong is at least `low` and below `high`."""

    low: float
    high: float
    bins: float
    """The number of these bins."""
    p_wrong: float | None
    """The mean p_wrong of these bins; None without bins."""
    wrong: Estimate | None
    """The fraction of these records that is wrong; None without bins."""


@dataclass(frozen=True)
class PlantedErrors:
    """The results for one kind of errors."""

    name: str
    decay: float
    """The factor by which each further item makes an error less likely; see `ErrorModel`."""
    methods: tuple[MethodResult, ...]
    """The first method is p_wrong."""
    numbers: tuple[ExpectedVsFound, ...]
    """One result for each capacity."""
    ranges: tuple[ProbabilityBin, ...]
    calibration_error: float
    """Σ (bins in the range / N) · |fraction wrong − mean p_wrong| over the ranges, 0 to 1."""
    corrected: int
    """The number of repetitions in which the probabilities were corrected for label shift."""


@dataclass(frozen=True)
class PlantedEvaluation:
    """All results of the benchmark."""

    rate: float
    """The requested fraction of altered records, which p_wrong uses as its error rate."""
    bins: int
    wrong: int
    """The number of altered records in each repetition."""
    plantings: int
    """The number of repetitions."""
    seed: int
    """The seed of the first repetition. The next repetitions use the following numbers."""
    resamples: int
    """The number of bootstrap resamples."""
    errors: tuple[PlantedErrors, ...]
