"""How good a count model is, from its probabilities and the counts on record; numpy only, no photos, no files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.errors import ReconcileError
from reconcile.metrics.calibration import (
    Calibration,
    CoveragePoint,
    calibration_of,
    expected_calibration_error,
    reliability,
    risk_coverage,
)
from reconcile.metrics.intervals import RESAMPLES, Estimate, bootstrap, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


_SPANS = ((0, 5), (1, 5))
"""Counts that others' evaluations are limited to: the public baseline's, and that of most tutorials."""


@dataclass(frozen=True)
class ClassResult:
    """The photos that have one label on record; every figure is None where there is no such photo."""

    label: str
    photos: int
    accuracy: Estimate | None
    """Share counted the same, with its Wilson interval."""
    rmse: float | None
    """In items."""
    within_one: float | None
    """Share at most one item off."""


@dataclass(frozen=True)
class ProtocolResult:
    """One way to ask: which photos, and among which labels."""

    name: str
    labels: tuple[str, ...]
    photos: int
    accuracy: Estimate
    """Share counted the same, with its bootstrap interval."""
    rmse: Estimate
    """In items, with its bootstrap interval."""
    within_one: float
    """Share at most one item off."""
    commonest: float
    """Accuracy of always saying the label that most photos have."""
    calibration_error: float
    """Expected calibration error; see `Calibration`."""
    classes: tuple[ClassResult, ...]


@dataclass(frozen=True)
class LeftOutProtocol:
    """A protocol that says nothing here, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PredictedLabel:
    """How often the model says a label, and how often it is right then."""

    label: str
    photos: int
    precision: Estimate | None
    """Share that has this label on record, with its Wilson interval; None where it is never said."""


@dataclass(frozen=True)
class OriginResult:
    """Photos in their own proportions, or those that reached us squashed to a square."""

    squashed: bool
    photos: int
    accuracy: Estimate
    """Share counted the same, with its bootstrap interval."""
    rmse: Estimate
    """In items, with its bootstrap interval."""


@dataclass(frozen=True)
class Evaluation:
    """All that is told of a model on some photos."""

    labels: tuple[str, ...]
    photos: int
    """Photos that were held against their record."""
    not_covered: int
    """Photos left out, as no label of the model covers their count."""
    seed: int
    resamples: int
    protocols: tuple[ProtocolResult, ...]
    """The first is that of all labels."""
    left_out_protocols: tuple[LeftOutProtocol, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Photos by label on record (rows) and label counted (columns)."""
    said: tuple[PredictedLabel, ...]
    calibration: Calibration
    coverage: tuple[CoveragePoint, ...]
    """1, 2, … 100 % of the photos."""
    origins: tuple[OriginResult, ...]
    """Empty where nobody says which photos are squashed."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate(
    probabilities: NDArray[np.floating],
    counts: Sequence[int] | NDArray[np.integer],
    labels: CountLabels,
    squashed: Sequence[bool | None],
    seed: int,
) -> Evaluation:
    """Hold a model's probabilities against the counts on record.

    Args:
        probabilities: P(label | photo), float [N, labels], rows summing to 1, from any model.
        counts: items on record, int [N].
        labels: what the columns of `probabilities` stand for.
        squashed: whether each photo reached us squashed to a square, [N]; None where that is not known.
        seed: of the bootstrap; the same seed gives the same intervals.

    Returns:
        every figure of the report.

    Raises:
        ReconcileError: there is no photo whose count a label covers, or a probability is no number.
    """
    if not np.isfinite(probabilities).all():
        raise ReconcileError("the model gives probabilities that are no numbers")
    places = label_indices(counts, labels)
    covered = places >= 0
    if not covered.any():
        raise ReconcileError(f"no photo has a count that the model's labels cover ({', '.join(labels.names)})")
    truth, shares = places[covered], probabilities[covered].astype(np.float64)
    rng = np.random.default_rng(seed)
    protocols, left_out = _protocols(shares, truth, labels, rng)
    best = shares.argmax(axis=1)
    matrix = confusion(truth, best, len(labels.names))
    errors = item_errors(truth, best, labels.values)
    return Evaluation(
        labels=labels.names,
        photos=len(truth),
        not_covered=int((~covered).sum()),
        seed=seed,
        resamples=RESAMPLES,
        protocols=protocols,
        left_out_protocols=left_out,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        said=tuple(
            PredictedLabel(name, said, wilson(right, said))
            for name, said, right in zip(labels.names, matrix.sum(axis=0).tolist(), matrix.diagonal(), strict=True)
        ),
        calibration=calibration_of(shares, truth, np.random.default_rng(seed)),
        coverage=risk_coverage(shares.max(axis=1), best == truth),
        origins=_origins(errors, [value for value, kept in zip(squashed, covered, strict=True) if kept], rng),
    )


def label_indices(counts: Sequence[int] | NDArray[np.integer], labels: CountLabels) -> NDArray[np.int64]:
    """The place of the label that each count falls under, int64 [N]; −1 where no label covers it."""
    return np.array([-1 if place is None else place for place in map(labels.index_of, counts)], dtype=np.int64)


def item_errors(truth: NDArray[np.int64], best: NDArray[np.int64], values: Sequence[int]) -> NDArray[np.int64]:
    """Items counted minus items on record, int64 [N]; an open label (`6+`) counts as its smallest number on both sides.

    Args:
        truth: place of the label on record, int64 [N].
        best: place of the label counted, int64 [N].
        values: the count that each label stands for.
    """
    items = np.array(values, dtype=np.int64)
    errors: NDArray[np.int64] = items[best] - items[truth]
    return errors


def confusion(truth: NDArray[np.int64], best: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Photos by label on record (rows) and label counted (columns), int64 [labels, labels]."""
    return np.bincount(truth * labels + best, minlength=labels * labels).reshape(labels, labels)


def restrict(probabilities: NDArray[np.float64], places: Sequence[int]) -> NDArray[np.float64]:
    """Probabilities given that the count is one of some labels: those columns, made to sum to 1.

    Args:
        probabilities: float64 [N, labels].
        places: the K columns to keep.

    Returns:
        float64 [N, K]; all the same where the model rules out every one of these labels.
    """
    kept = probabilities[:, list(places)]
    sums = kept.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.divide(kept, sums, out=np.full_like(kept, 1 / len(places)), where=sums > 0)
    return result


def _protocols(
    shares: NDArray[np.float64], truth: NDArray[np.int64], labels: CountLabels, rng: np.random.Generator
) -> tuple[tuple[ProtocolResult, ...], tuple[LeftOutProtocol, ...]]:
    found = [_protocol("all labels", shares, truth, labels, range(len(labels.names)), rng)]
    left_out = []
    for first, last in _SPANS:
        name = f"counts {first} to {last}"
        wanted = [str(count) for count in range(first, last + 1)]
        missing = [label for label in wanted if label not in labels.names]
        if missing:
            left_out.append(LeftOutProtocol(name, f"the model has no label {', '.join(missing)}"))
            continue
        places = [labels.names.index(label) for label in wanted]
        same = [protocol.name for protocol in found if list(protocol.labels) == wanted]
        asked = np.isin(truth, places)
        if same:
            left_out.append(LeftOutProtocol(name, f"the same as {same[0]}"))
        elif not asked.any():
            left_out.append(LeftOutProtocol(name, f"no photo has {first} to {last} items on record"))
        else:
            found.append(_protocol(name, shares[asked], truth[asked], labels, places, rng))
    return tuple(found), tuple(left_out)


def _protocol(
    name: str,
    shares: NDArray[np.float64],
    truth: NDArray[np.int64],
    labels: CountLabels,
    places: Sequence[int],
    rng: np.random.Generator,
) -> ProtocolResult:
    """Ask only among the labels at `places`, of photos that have one of them on record."""
    # All labels are left as they are: rounding may not move a photo over the edge of a bin.
    restricted = shares if len(places) == len(labels.names) else restrict(shares, places)
    own = np.searchsorted(places, truth)
    best = restricted.argmax(axis=1)
    errors = item_errors(own, best, [labels.values[place] for place in places])
    accuracy, rmse = bootstrap(errors, rng)
    return ProtocolResult(
        name=name,
        labels=tuple(labels.names[place] for place in places),
        photos=len(own),
        accuracy=accuracy,
        rmse=rmse,
        within_one=_within_one(errors),
        commonest=float(np.bincount(own).max() / len(own)),
        calibration_error=expected_calibration_error(reliability(restricted.max(axis=1), best == own)),
        classes=tuple(_class(labels.names[place], errors[own == row]) for row, place in enumerate(places)),
    )


def _class(label: str, errors: NDArray[np.int64]) -> ClassResult:
    if len(errors) == 0:
        return ClassResult(label, 0, None, None, None)
    rmse = float(np.sqrt(np.mean(errors * errors)))
    return ClassResult(label, len(errors), wilson(int((errors == 0).sum()), len(errors)), rmse, _within_one(errors))


def _within_one(errors: NDArray[np.int64]) -> float:
    return float((np.abs(errors) <= 1).mean())


def _origins(
    errors: NDArray[np.int64], squashed: Sequence[bool | None], rng: np.random.Generator
) -> tuple[OriginResult, ...]:
    found = []
    for wanted in (False, True):
        own = errors[np.array([value is wanted for value in squashed], dtype=bool)]
        if len(own):
            accuracy, rmse = bootstrap(own, rng)
            found.append(OriginResult(wanted, len(own), accuracy, rmse))
    return tuple(found)
