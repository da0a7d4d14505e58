"""Correct probabilities for label shift: a run whose counts are distributed differently from the training photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model import ErrorModel
    from reconcile.labels import CountLabels


_MIN_BINS_PER_LABEL = 100
"""With fewer bins per label on average, the estimate is too noisy."""
_MIN_DISTANCE = 0.15
"""The smallest total variation distance at which probabilities are corrected."""
_MAX_ITERATIONS = 1000
_CONVERGED = 1e-7
"""The iteration ends if no probability changes by this much."""


def estimate_class_prior(
    probabilities: NDArray[np.floating],
    expected: NDArray[np.integer],
    labels: CountLabels,
    prior: Sequence[float],
    errors: ErrorModel,
) -> NDArray[np.float64] | None:
    """Estimate the distribution of counts in a run, and return it if it is far from the training distribution.

    The estimate uses expectation maximisation (Saerens, Latinne and Decaestecker 2002, Adjusting the Outputs of a
    Classifier to New a Priori Probabilities, Neural Computation 14:21-41), extended by the records:

        P(c | x, e) ∝ class_prior(c) / prior(c) · P(c|x) · P(e|c)
        class_prior(c) ← mean of P(c | x, e) over the bins

    Photos alone are not enough for a model that was trained on soft labels. Its probabilities are blurred over
    neighbouring counts, and the estimate would move away from this blur, to counts that no bin has. Most records are
    correct, which keeps the estimate stable. Near the training distribution, a correction would make the queue worse;
    docs/explanation/how-a-record-is-judged.md has both measurements.

    Args:
        probabilities: P(c|x) under the training distribution, float [N, labels].
        expected: the index of the label of each record, int [N].
        labels: the labels of the model.
        prior: the fraction of each label in the training photos, [labels].
        errors: the error model of the records.

    Returns:
        the fraction of each label in the run, float64 [labels], summing to 1. None if there are fewer than 100 bins per
        label, a label has no training photo, or the total variation distance is below 0.15.
    """
    trained = np.asarray(prior, dtype=np.float64)
    if len(probabilities) < _MIN_BINS_PER_LABEL * len(trained) or trained.min() <= 0:
        return None
    trained = trained / trained.sum()
    ratios = probabilities.astype(np.float64) / trained * errors.record_given_truth(labels)[:, expected].T
    ratios = ratios[ratios.any(axis=1)]
    class_prior = trained
    for _ in range(_MAX_ITERATIONS):
        posterior = ratios * class_prior
        updated = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
        has_converged = np.abs(updated - class_prior).max() < _CONVERGED
        class_prior = updated
        if has_converged:
            break
    return class_prior if np.abs(class_prior - trained).sum() / 2 >= _MIN_DISTANCE else None


def adjust_for_prior(
    probabilities: NDArray[np.floating], prior: Sequence[float], class_prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return P(c|x) for a run whose counts are distributed differently from the training photos.

    The result is P(c|x) · class_prior(c) / prior(c), normalised (Saerens, Latinne and Decaestecker 2002).

    Args:
        probabilities: P(c|x) under the training distribution, float [N, labels].
        prior: the fraction of each label in the training photos, [labels].
        class_prior: the fraction of each label in the run, float64 [labels].

    Returns:
        float64 [N, labels], rows summing to 1. A photo that shows only counts with a class prior of 0 keeps its row.
    """
    photo = probabilities.astype(np.float64)
    weighted = photo * (class_prior / np.asarray(prior, dtype=np.float64))
    total = weighted.sum(axis=1, keepdims=True)
    result: NDArray[np.float64] = np.where(total > 0, weighted / np.where(total > 0, total, 1.0), photo)
    return result
