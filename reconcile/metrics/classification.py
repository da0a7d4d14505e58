"""Accuracy, RMSE and confusion of a count model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.errors import ReconcileError
from reconcile.metrics.calibration import (
    Calibration,
    CoveragePoint,
    expected_calibration_error,
    measure_calibration,
    reliability,
    risk_coverage,
)
from reconcile.metrics.intervals import RESAMPLES, Estimate, bootstrap, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


_SPANS = ((0, 5), (1, 5))
"""First and last count of other projects' evaluations: the public baseline's, and that of most tutorials."""


@dataclass(frozen=True)
class ClassResult:
    """The photos with one label on record. All figures are None if there is no such photo."""

    label: str
    photos: int
    accuracy: Estimate | None
    """The fraction of photos that agree with the record, with its Wilson interval."""
    rmse: float | None
    """The root mean squared error, in items."""
    within_one: float | None
    """The fraction of photos that are at most one item off."""


@dataclass(frozen=True)
class ProtocolResult:
    """The result under one protocol: a set of photos, and the labels that the model may choose from."""

    name: str
    labels: tuple[str, ...]
    photos: int
    accuracy: Estimate
    """The fraction of photos that agree with the record, with its bootstrap interval."""
    rmse: Estimate
    """The root mean squared error in items, with its bootstrap interval."""
    within_one: float
    """The fraction of photos that are at most one item off."""
    commonest: float
    """The accuracy of always answering with the most frequent label."""
    calibration_error: float
    """The expected calibration error, 0 to 1; see `expected_calibration_error`."""
    classes: tuple[ClassResult, ...]


@dataclass(frozen=True)
class LeftOutProtocol:
    """A protocol without a result."""

    name: str
    reason: str
    """Why there is no result."""


@dataclass(frozen=True)
class PredictedLabel:
    """The number of predictions of one label, and the fraction of them that is correct."""

    label: str
    photos: int
    precision: Estimate | None
    """The fraction of these photos with this label on record, with its Wilson interval. None if there is no photo."""


@dataclass(frozen=True)
class OriginResult:
    """Either the photos in their original proportions, or those that were squashed to a square before we got them."""

    squashed: bool
    photos: int
    accuracy: Estimate
    """The fraction of photos that agree with the record, with its bootstrap interval."""
    rmse: Estimate
    """The root mean squared error in items, with its bootstrap interval."""


@dataclass(frozen=True)
class Evaluation:
    """All figures of a model on some photos. The fields are those of evaluation.json."""

    labels: tuple[str, ...]
    photos: int
    """The number of photos that were compared with their record."""
    not_covered: int
    """The number of photos left out because no label of the model covers their count."""
    seed: int
    resamples: int
    protocols: tuple[ProtocolResult, ...]
    """The first protocol is that of all labels."""
    left_out_protocols: tuple[LeftOutProtocol, ...]
    confusion: tuple[tuple[int, ...], ...]
    """The number of photos by label on record (rows) and predicted label (columns)."""
    said: tuple[PredictedLabel, ...]
    """The results by predicted label."""
    calibration: Calibration
    coverage: tuple[CoveragePoint, ...]
    """The most certain 1, 2, … 100 % of the photos."""
    origins: tuple[OriginResult, ...]
    """Empty if it is unknown for all photos whether they were squashed."""

    def as_dict(self) -> dict[str, Any]:
        """Return all fields for evaluation.json."""
        return asdict(self)


def evaluate(
    probabilities: NDArray[np.floating],
    counts: Sequence[int] | NDArray[np.integer],
    labels: CountLabels,
    squashed: Sequence[bool | None],
    seed: int,
) -> Evaluation:
    """Compare a model's probabilities with the counts on record.

    Args:
        probabilities: P(label | photo) from any model, float [N, labels], rows summing to 1.
        counts: the items on record, int [N].
        labels: the labels of the columns of `probabilities`.
        squashed: whether each photo was squashed to a square before we got it, [N]. None if that is unknown.
        seed: the seed of the bootstrap. The same seed gives the same intervals.

    Raises:
        ReconcileError: a probability is not a finite number, or no photo has a count that a label covers.
    """
    if not np.isfinite(probabilities).all():
        raise ReconcileError("the model returned probabilities that are not finite numbers")
    indices = labels.indices_of(counts)
    covered = indices >= 0
    if not covered.any():
        raise ReconcileError(f"no photo has a count that the model's labels cover ({', '.join(labels.names)})")
    truth, probs = indices[covered], probabilities[covered].astype(np.float64)
    rng = np.random.default_rng(seed)
    protocols, left_out = _protocols(probs, truth, labels, rng)
    predicted = probs.argmax(axis=1)
    matrix = confusion(truth, predicted, len(labels.names))
    errors = item_errors(truth, predicted, labels.values)
    return Evaluation(
        labels=labels.names,
        photos=len(truth),
        not_covered=int((~covered).sum()),
        seed=seed,
        resamples=RESAMPLES,
        protocols=protocols,
        left_out_protocols=left_out,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        said=_by_prediction(labels, matrix),
        calibration=measure_calibration(probs, truth, np.random.default_rng(seed)),
        coverage=risk_coverage(probs.max(axis=1), predicted == truth),
        origins=_origins(errors, [value for value, kept in zip(squashed, covered, strict=True) if kept], rng),
    )


def item_errors(truth: NDArray[np.int64], predicted: NDArray[np.int64], values: Sequence[int]) -> NDArray[np.int64]:
    """Return items counted minus items on record, int64 [N].

    An open-ended label such as `6+` counts as its smallest number on both sides.

    Args:
        truth: the index of the label on record, int64 [N].
        predicted: the index of the predicted label, int64 [N].
        values: the count that each label stands for, [labels].
    """
    items = np.array(values, dtype=np.int64)
    errors: NDArray[np.int64] = items[predicted] - items[truth]
    return errors


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Count photos by label on record (rows) and predicted label (columns).

    Args:
        truth: the index of the label on record, int64 [N].
        predicted: the index of the predicted label, int64 [N].
        labels: the number of labels.

    Returns:
        int64 [labels, labels].
    """
    return np.bincount(truth * labels + predicted, minlength=labels * labels).reshape(labels, labels)


def restrict(probabilities: NDArray[np.float64], indices: Sequence[int]) -> NDArray[np.float64]:
    """Return the probabilities given that the count is one of some labels.

    Args:
        probabilities: P(label | photo), float64 [N, labels].
        indices: the K columns to keep.

    Returns:
        the K columns with rows that sum to 1, float64 [N, K]. A row is uniform if the model rules out all K labels.
    """
    kept = probabilities[:, list(indices)]
    sums = kept.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.divide(kept, sums, out=np.full_like(kept, 1 / len(indices)), where=sums > 0)
    return result


def _protocols(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], labels: CountLabels, rng: np.random.Generator
) -> tuple[tuple[ProtocolResult, ...], tuple[LeftOutProtocol, ...]]:
    results = [_protocol("all labels", probabilities, truth, labels, range(len(labels.names)), rng)]
    left_out = []
    for first, last in _SPANS:
        name = f"counts {first} to {last}"
        wanted = [str(count) for count in range(first, last + 1)]
        missing = [label for label in wanted if label not in labels.names]
        if missing:
            left_out.append(LeftOutProtocol(name, f"the model has no label {', '.join(missing)}"))
            continue
        indices = [labels.names.index(label) for label in wanted]
        same = [result.name for result in results if list(result.labels) == wanted]
        included = np.isin(truth, indices)
        if same:
            left_out.append(LeftOutProtocol(name, f"the same as {same[0]}"))
        elif not included.any():
            left_out.append(LeftOutProtocol(name, f"no photo has {first} to {last} items on record"))
        else:
            results.append(_protocol(name, probabilities[included], truth[included], labels, indices, rng))
    return tuple(results), tuple(left_out)


def _protocol(
    name: str,
    probabilities: NDArray[np.float64],
    truth: NDArray[np.int64],
    labels: CountLabels,
    indices: Sequence[int],
    rng: np.random.Generator,
) -> ProtocolResult:
    """Evaluate photos whose label on record is among the labels at `indices`. The model may choose only from these."""
    # All labels stay as they are, because rounding must not move a photo over the edge of a bin.
    restricted = probabilities if len(indices) == len(labels.names) else restrict(probabilities, indices)
    own = np.searchsorted(indices, truth)
    predicted = restricted.argmax(axis=1)
    errors = item_errors(own, predicted, [labels.values[index] for index in indices])
    accuracy, rmse = bootstrap(errors, rng)
    return ProtocolResult(
        name=name,
        labels=tuple(labels.names[index] for index in indices),
        photos=len(own),
        accuracy=accuracy,
        rmse=rmse,
        within_one=_within_one(errors),
        commonest=float(np.bincount(own).max() / len(own)),
        calibration_error=expected_calibration_error(reliability(restricted.max(axis=1), predicted == own)),
        classes=tuple(_class(labels.names[index], errors[own == row]) for row, index in enumerate(indices)),
    )


def _class(label: str, errors: NDArray[np.int64]) -> ClassResult:
    if len(errors) == 0:
        return ClassResult(label, 0, None, None, None)
    rmse = float(np.sqrt(np.mean(errors * errors)))
    return ClassResult(label, len(errors), wilson(int((errors == 0).sum()), len(errors)), rmse, _within_one(errors))


def _within_one(errors: NDArray[np.int64]) -> float:
    return float((np.abs(errors) <= 1).mean())


def _by_prediction(labels: CountLabels, matrix: NDArray[np.int64]) -> tuple[PredictedLabel, ...]:
    return tuple(
        PredictedLabel(name, photos, wilson(correct, photos))
        for name, photos, correct in zip(labels.names, matrix.sum(axis=0).tolist(), matrix.diagonal(), strict=True)
    )


def _origins(
    errors: NDArray[np.int64], squashed: Sequence[bool | None], rng: np.random.Generator
) -> tuple[OriginResult, ...]:
    results = []
    for origin in (False, True):
        own = errors[np.array([value is origin for value in squashed], dtype=bool)]
        if len(own):
            accuracy, rmse = bootstrap(own, rng)
            results.append(OriginResult(origin, len(own), accuracy, rmse))
    return tuple(results)
