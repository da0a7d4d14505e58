"""How likely is the record wrong, given what the photo shows, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model import ErrorModel
    from reconcile.labels import CountLabels


def posterior(
    probabilities: NDArray[np.floating], expected: NDArray[np.integer], labels: CountLabels, errors: ErrorModel
) -> NDArray[np.float64]:
    """Probability of each count, given the photo and the record.

    The record e is taken for a noisy copy of the true count c that knows nothing of the photo x once c is given, so
    that P(x, e | c) = P(x|c) P(e|c). By Bayes' rule

        P(c | x, e) ∝ P(c) P(x|c) P(e|c) ∝ P(c|x) P(e|c)

    where P(c|x) is the model's calibrated word and P(e|c) the error model's. Counts are places in the model's list of
    labels, so a label that lumps counts (6+) is one of them: a record of 9 against a photo of 6+ is agreement, since a
    photo can tell no more.

    Args:
        probabilities: P(c|x), float [N, labels], rows summing to 1.
        expected: int [N], the place of each record's label.
        labels: the model's.
        errors: how records go wrong.

    Returns:
        float64 [N, labels], rows summing to 1.
    """
    photo = probabilities.astype(np.float64)
    joint = photo * errors.record_given_truth(labels)[:, expected].T
    evidence = joint.sum(axis=1, keepdims=True)
    # Where the photo rules out, to the last bit, all that the record could come from, only the photo is believed.
    result: NDArray[np.float64] = np.where(evidence > 0, joint / np.where(evidence > 0, evidence, 1.0), photo)
    return result


def p_wrong(truth: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Probability that the record is wrong: all that does not lie on the record's own count.

    With the formula of `truth_given_photo_and_record` this is

        p_wrong = Σ_{c≠e} P(c|x) π q(e|c)  /  ( P(e|x) (1 − π) + Σ_{c≠e} P(c|x) π q(e|c) )

    With uniform q it ranks as 1 − P(e|x), which cleanlab calls self-confidence (Northcutt et al. 2021, Confident
    Learning, JAIR 70:1373-1411); the error model adds that a record slips to a count nearby.

    Args:
        truth: P(c | x, e), float64 [N, labels].
        expected: int [N], the place of each record's label.

    Returns:
        float64 [N], 0 to 1.
    """
    result: NDArray[np.float64] = _elsewhere(truth, expected).sum(axis=1)
    return result


def p_off(
    truth: NDArray[np.float64], quantities: NDArray[np.integer], labels: CountLabels, tolerance: int
) -> NDArray[np.float64]:
    """Probability that the record is off by more than `tolerance` items: float64 [N]. With 0 it is p_wrong.

    Args:
        truth: P(c | x, e), float64 [N, labels].
        quantities: on record, int [N], each under one of the labels.
        labels: the model's.
        tolerance: items.
    """
    result: NDArray[np.float64] = np.where(_distance(quantities, labels) > tolerance, truth, 0.0).sum(axis=1)
    return result


def units_off(truth: NDArray[np.float64], quantities: NDArray[np.integer], labels: CountLabels) -> NDArray[np.float64]:
    """How many items the record is expected to be off by: float64 [N]. Arguments as of `p_off`.

    A bin that holds as many as an open-ended label lumps may hold what is on record: 9 for 6+ is off by nothing.
    """
    result: NDArray[np.float64] = (truth * _distance(quantities, labels)).sum(axis=1)
    return result


def most_likely(truth: NDArray[np.float64]) -> NDArray[np.int64]:
    """The place of the most probable count: int64 [N]."""
    places: NDArray[np.int64] = truth.argmax(axis=1)
    return places


def most_likely_if_wrong(truth: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.int64]:
    """The place of the most probable count but the record's: int64 [N]. What to look for when recounting."""
    others = truth.copy()
    others[np.arange(len(expected)), expected] = -1.0
    places: NDArray[np.int64] = others.argmax(axis=1)
    return places


def _elsewhere(truth: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """`truth` without what lies on the record's own count; sums of it keep their digits where 1 − P would lose them."""
    others = truth.copy()
    others[np.arange(len(expected)), expected] = 0.0
    return others


def _distance(quantities: NDArray[np.integer], labels: CountLabels) -> NDArray[np.int64]:
    """Items between each record and each label, the fewest that it can be: int64 [N, labels]."""
    values = np.array(labels.values, dtype=np.int64)
    distance: NDArray[np.int64] = np.abs(values[None, :] - quantities[:, None])
    if labels.open_ended:
        distance[quantities >= values[-1], -1] = 0
    return distance
