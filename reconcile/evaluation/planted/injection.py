"""Inject errors into records of labelled bins. Then it is known which records are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.discrepancy.error_model import ErrorModel
    from reconcile.labels import CountLabels


@dataclass(frozen=True)
class Injection:
    """Records of which some were altered."""

    expected: NDArray[np.int64]
    """The index of the label of each record, int64 [N]."""
    wrong: NDArray[np.bool_]
    """True for each altered record, bool [N]."""


def number_to_inject(rate: float, bins: int) -> int:
    """Return the number of records to alter, round(rate · bins).

    Args:
        rate: the fraction of records to alter, above 0 and below 1.
        bins: the number of labelled bins.

    Raises:
        ReconcileError: the number is 0 or that of all bins, so nothing could be ranked.
    """
    number = round(rate * bins)
    if not 0 < number < bins:
        what = "no record" if number <= 0 else "every record"
        raise ReconcileError(f"--plant {rate:.3%} of {bins:,} labelled bins alters {what}; use more bins")
    return number


def inject_errors(
    truth: NDArray[np.int64], labels: CountLabels, errors: ErrorModel, rng: np.random.Generator
) -> Injection:
    """Copy the true labels as records, and alter a fraction `errors.rate` of them to other labels.

    Which bins are altered does not depend on their counts. The new label follows q(e|c) of the error model. The number
    of altered records is fixed at round(rate · N), so that repetitions can be compared.

    Args:
        truth: the index of the label of each bin, int64 [N].
        labels: the labels of the model. An open-ended label such as `6+` is one count.
        errors: how often records are wrong, and by how much. With a decay of 1, all other labels are equally likely.
        rng: draws bins and labels. For the same state, the same bins are drawn with any decay.

    Raises:
        ReconcileError: there are too few bins to alter one record.
    """
    altered = rng.choice(len(truth), size=number_to_inject(errors.rate, len(truth)), replace=False)
    probabilities = errors.record_given_truth(labels)
    np.fill_diagonal(probabilities, 0.0)
    cumulative = np.cumsum(probabilities, axis=1)[truth[altered]]  # [altered, labels]
    # The draw is a fraction of the last sum, because rounding may leave that sum slightly different from `rate`.
    drawn = rng.random(len(altered))[:, None] * cumulative[:, -1:]
    expected, wrong = truth.copy(), np.zeros(len(truth), dtype=bool)
    expected[altered] = (cumulative <= drawn).sum(axis=1)
    wrong[altered] = True
    return Injection(expected, wrong)
