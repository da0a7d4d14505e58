"""How good a count model is, from its probabilities and the counts on record; numpy only, no photos, no files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels

RESAMPLES = 2000
"""Of the bootstrap; its 95 % limits are then good to about a tenth of the interval's width."""
CALIBRATION_BINS = 15
"""As in Guo et al. 2017, section 5."""
_Z = 1.959964
"""The 97.5 % point of the normal distribution."""
_SPANS = ((0, 5), (1, 5))
"""Counts that others' evaluations are limited to: the public baseline's, and that of most tutorials."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


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
class SaidLabel:
    """How often the model says a label, and how often it is right then."""

    label: str
    photos: int
    precision: Estimate | None
    """Share that has this label on record, with its Wilson interval; None where it is never said."""


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
    said: tuple[SaidLabel, ...]
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
    places = places_of(counts, labels)
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
            SaidLabel(name, said, wilson(right, said))
            for name, said, right in zip(labels.names, matrix.sum(axis=0).tolist(), matrix.diagonal(), strict=True)
        ),
        calibration=_calibration(shares, truth),
        coverage=coverage(shares.max(axis=1), best == truth),
        origins=_origins(errors, [value for value, kept in zip(squashed, covered, strict=True) if kept], rng),
    )


def places_of(counts: Sequence[int] | NDArray[np.integer], labels: CountLabels) -> NDArray[np.int64]:
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


def wilson(right: int, photos: int) -> Estimate | None:
    """Share `right` of `photos` and its score interval at 95 % (Wilson 1927, JASA 22:209-212); None of no photos."""
    if photos == 0:
        return None
    share, square = float(right / photos), _Z * _Z
    centre = share + square / (2 * photos)
    reach = _Z * float(np.sqrt(share * (1 - share) / photos + square / (4 * photos * photos)))
    scale = 1 + square / photos
    # At no and at all right, one limit is the share itself, which rounding would miss.
    low, high = min(share, (centre - reach) / scale), max(share, (centre + reach) / scale)
    return Estimate(share, max(0.0, low), min(1.0, high))


def bootstrap(errors: NDArray[np.int64], rng: np.random.Generator) -> tuple[Estimate, Estimate]:
    """Accuracy and RMSE with percentile bootstrap intervals at 95 % over photos (Efron 1979, Ann. Statist. 7:1-26).

    Both figures need no more of a photo than its squared error, which takes a handful of values. To draw N photos with
    replacement is to draw how often each value comes up, from a multinomial distribution. That takes the same time and
    memory for 100 photos and for 100,000.

    Args:
        errors: items counted minus items on record, int64 [N], N over 0.
        rng: draws the resamples.

    Returns:
        accuracy (0 to 1) and RMSE (items).
    """
    squares, photos = np.unique(errors * errors, return_counts=True)
    number = len(errors)
    draws = rng.multinomial(number, photos / number, size=RESAMPLES)  # [resamples, values]
    right = squares == 0
    accuracies, rmses = draws[:, right].sum(axis=1) / number, np.sqrt(draws @ squares / number)
    accuracy, rmse = float(photos[right].sum() / number), float(np.sqrt(photos @ squares / number))
    return Estimate(accuracy, *_middle(accuracies)), Estimate(rmse, *_middle(rmses))


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def confusion(truth: NDArray[np.int64], best: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Photos by label on record (rows) and label counted (columns), int64 [labels, labels]."""
    return np.bincount(truth * labels + best, minlength=labels * labels).reshape(labels, labels)


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


def coverage(largest: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[CoveragePoint, ...]:
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


def _calibration(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> Calibration:
    bins = reliability(shares.max(axis=1), shares.argmax(axis=1) == truth)
    return Calibration(
        expected_error=expected_calibration_error(bins),
        negative_log_likelihood=negative_log_likelihood(shares, truth),
        brier=brier_score(shares, truth),
        bins=bins,
    )


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
