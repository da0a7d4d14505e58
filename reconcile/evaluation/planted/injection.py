"""Planted discrepancies: records of labelled bins, altered on purpose, so that it is known which are wrong."""

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
    """The records of one made-up night."""

    expected: NDArray[np.int64]
    """int64 [N]: the place of each record's label."""
    wrong: NDArray[np.bool_]
    """bool [N]: which were altered."""


def number_to_inject(rate: float, bins: int) -> int:
    """How many of so many records to alter.

    Raises:
        ReconcileError: that rounds to none or to all of them, and nothing could be ranked.
    """
    number = round(rate * bins)
    if not 0 < number < bins:
        what = "not one record" if number <= 0 else "every record"
        raise ReconcileError(f"--plant {rate:.3%} of {bins:,} labelled bins is {what}; it takes more bins")
    return number


def inject_errors(
    truth: NDArray[np.int64], labels: CountLabels, errors: ErrorModel, rng: np.random.Generator
) -> Injection:
    """Take the labels for the truth and alter the records of `errors.rate` of the bins, to another label each.

    Which bins does not depend on their counts; what a record becomes follows q(e|c) of the error model. The number is
    round(rate · N) and not left to chance, so that nights can be compared.

    Args:
        truth: int64 [N], the place of each bin's label.
        labels: the model's; a label that lumps (6+) slips as one count.
        errors: how often and by how much. A decay of 1 makes all other labels alike.
        rng: chooses bins and sizes; the same bins for any decay.

    Raises:
        ReconcileError: too few bins to alter one record.
    """
    altered = rng.choice(len(truth), size=number_to_inject(errors.rate, len(truth)), replace=False)
    slips = errors.record_given_truth(labels)
    np.fill_diagonal(slips, 0.0)
    below = np.cumsum(slips, axis=1)[truth[altered]]  # [altered, labels]
    # As a share of the last sum, which rounding may leave a little off `rate`. A draw lies under 1.
    drawn = rng.random(len(altered))[:, None] * below[:, -1:]
    expected, wrong = truth.copy(), np.zeros(len(truth), dtype=bool)
    expected[altered] = (below <= drawn).sum(axis=1)
    wrong[altered] = True
    return Injection(expected, wrong)
