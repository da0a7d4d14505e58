"""The posterior over the true count of a bin, and the figures that follow from it."""

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
    """Return the probability of each count given the photo and the record.

    The record e is a noisy copy of the true count c. Given c, its error is assumed to be independent of the photo x, so
    P(x, e | c) = P(x|c) P(e|c). By Bayes' rule:

        P(c | x, e) ∝ P(c) P(x|c) P(e|c) ∝ P(c|x) P(e|c)

    P(c|x) is the model's calibrated probability, and P(e|c) is the error model. Counts are indices of the model's
    labels. An open-ended label such as `6+` is one count, so a record of 9 agrees with a photo of `6+`.

    Args:
        probabilities: P(c|x), float [N, labels], rows summing to 1.
        expected: the index of the label of each record, int [N].
        labels: the labels of the model.
        errors: the error model of the records.

    Returns:
        P(c | x, e), float64 [N, labels], rows summing to 1.
    """
    photo = probabilities.astype(np.float64)
    joint = photo * errors.record_given_truth(labels)[:, expected].T
    evidence = joint.sum(axis=1, keepdims=True)
    # If the photo rules out every count that the record could come from, only the photo is used.
    result: NDArray[np.float64] = np.where(evidence > 0, joint / np.where(evidence > 0, evidence, 1.0), photo)
    return result


def p_wrong(posteriors: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the probability that each record is wrong.

    This is the posterior probability of all counts except the recorded one. With the formula of `posterior`:

        p_wrong = Σ_{c≠e} P(c|x) π q(e|c)  /  ( P(e|x) (1 − π) + Σ_{c≠e} P(c|x) π q(e|c) )

    With a uniform q, this ranks bins as 1 − P(e|x) does. cleanlab calls P(e|x) self-confidence (Northcutt et al. 2021,
    Confident Learning, JAIR 70:1373-1411). The error model adds that most wrong records are off by a few items.

    Args:
        posteriors: P(c | x, e), float64 [N, labels].
        expected: the index of the label of each record, int [N].

    Returns:
        float64 [N], 0 to 1.
    """
    result: NDArray[np.float64] = _without_record(posteriors, expected).sum(axis=1)
    return result


def p_off(
    posteriors: NDArray[np.float64], quantities: NDArray[np.integer], labels: CountLabels, tolerance: int
) -> NDArray[np.float64]:
    """Return the probability that each record is off by more than `tolerance` items.

    Args:
        posteriors: P(c | x, e), float64 [N, labels].
        quantities: the quantity on record, int [N]. A label must cover each.
        labels: the labels of the model.
        tolerance: in items. With 0, the result is that of `p_wrong`.

    Returns:
        float64 [N], 0 to 1.
    """
    off = np.where(_distance(quantities, labels) > tolerance, posteriors, 0.0)
    result: NDArray[np.float64] = off.sum(axis=1)
    return result


def units_off(
    posteriors: NDArray[np.float64], quantities: NDArray[np.integer], labels: CountLabels
) -> NDArray[np.float64]:
    """Return the expected difference between each record and the true count.

    A record that an open-ended label covers is off by nothing if the true count has the same label: 9 for `6+`.

    Args:
        posteriors: P(c | x, e), float64 [N, labels].
        quantities: the quantity on record, int [N]. A label must cover each.
        labels: the labels of the model.

    Returns:
        items, float64 [N].
    """
    result: NDArray[np.float64] = (posteriors * _distance(quantities, labels)).sum(axis=1)
    return result


def most_likely(posteriors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the most likely count, int64 [N]."""
    indices: NDArray[np.int64] = posteriors.argmax(axis=1)
    return indices


def most_likely_if_wrong(posteriors: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the index of the most likely count except the recorded one.

    Args:
        posteriors: P(c | x, e), float64 [N, labels].
        expected: the index of the label of each record, int [N].

    Returns:
        int64 [N].
    """
    others = posteriors.copy()
    others[np.arange(len(expected)), expected] = -1.0
    indices: NDArray[np.int64] = others.argmax(axis=1)
    return indices


def _without_record(posteriors: NDArray[np.float64], expected: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the posteriors with 0 for the recorded count. Their sum keeps digits that 1 − P would lose."""
    others = posteriors.copy()
    others[np.arange(len(expected)), expected] = 0.0
    return others


def _distance(quantities: NDArray[np.integer], labels: CountLabels) -> NDArray[np.int64]:
    """Return the smallest possible difference between each record and each label, in items: int64 [N, labels]."""
    values = np.array(labels.values, dtype=np.int64)
    distance: NDArray[np.int64] = np.abs(values[None, :] - quantities[:, None])
    if labels.open_ended:
        distance[quantities >= values[-1], -1] = 0
    return distance
