"""What came of planted discrepancies: how well p_wrong and its rivals found them, and whether its numbers were true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconcile.metrics.intervals import Estimate


@dataclass(frozen=True)
class TopKResult:
    """The first bins of the order that a method gives; all are means over the plantings."""

    share: float
    """Of all bins."""
    bins: int
    wrong: Estimate
    """Truly wrong ones among them; not whole where ties are broken at random."""
    precision: Estimate
    """Share of them that is wrong."""
    recall: Estimate
    """Share of all wrong ones that is among them."""
    lift: Estimate
    """So many times as many wrong ones as in random order."""


@dataclass(frozen=True)
class MethodResult:
    """How well one method puts the wrong records first; all are means over the plantings."""

    name: str
    auroc: Estimate
    average_precision: Estimate
    lead: Estimate | None
    """Average precision of p_wrong minus that of this one, on the same bins and plantings; None for p_wrong itself."""
    first: tuple[TopKResult, ...]


@dataclass(frozen=True)
class ExpectedVsFound:
    """How many of the first bins p_wrong says are wrong, and how many are."""

    share: float
    """Of all bins."""
    bins: int
    predicted: float
    """Σ p_wrong of the first bins, mean over the plantings."""
    predicted_range: tuple[float, float]
    """Between what numbers the report of one night says that it lies, at 95 %; mean over the plantings."""
    found: Estimate
    """Mean over the plantings."""
    one_night: tuple[float, float]
    """Between what numbers it lies in one night of other bins and other altered records, at 95 %."""
    inside: int
    """In how many of the plantings it lay between the predicted ones."""


@dataclass(frozen=True)
class ProbabilityBin:
    """The bins whose p_wrong is at least `low` and under `high`; the figures are None where there are none."""

    low: float
    high: float
    bins: float
    """Mean over the plantings."""
    p_wrong: float | None
    """Their mean."""
    wrong: Estimate | None
    """The share that is wrong."""


@dataclass(frozen=True)
class PlantedErrors:
    """What came of one kind of errors."""

    name: str
    decay: float
    """How much rarer an error gets with each further item; see `ErrorModel`."""
    methods: tuple[MethodResult, ...]
    """The first is p_wrong."""
    numbers: tuple[ExpectedVsFound, ...]
    ranges: tuple[ProbabilityBin, ...]
    calibration_error: float
    """Σ (bins in the range / N) · |share wrong − mean p_wrong| over the ranges, 0 to 1."""
    corrected: int
    """In how many of the plantings the probabilities were corrected for another mix of counts than training's."""


@dataclass(frozen=True)
class PlantedEvaluation:
    """All that is told of planted discrepancies."""

    rate: float
    """As it was asked for, and as p_wrong is told."""
    bins: int
    wrong: int
    """In each planting."""
    plantings: int
    seed: int
    """Of the first planting; the next ones are those that follow."""
    resamples: int
    errors: tuple[PlantedErrors, ...]
