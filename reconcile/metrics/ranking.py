"""AUROC, average precision and hits among the first k, with bootstrap weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_WEIGHTS_AT_ONCE = 2_000_000
"""The number of weights in one pass, which limits its memory."""


@dataclass(frozen=True)
class Ranking:
    """The figures of one ranking under each of B rows of weights.

    AUROC and average precision are NaN for a row in which no item, or every item, is wrong.
    """

    auroc: NDArray[np.float64]
    """The probability that a wrong item comes before a correct one, float64 [B]. A tie counts half."""
    average_precision: NDArray[np.float64]
    """The average precision, float64 [B]."""
    hits: NDArray[np.float64]
    """The number of wrong items among the first k, float64 [B, capacities]. An expectation if a tie crosses k."""


def rank(
    scores: NDArray[np.floating],
    wrong: NDArray[np.bool_],
    capacities: Sequence[int],
    weights: NDArray[np.integer] | None = None,
) -> Ranking:
    """Measure how well a ranking by score puts wrong items first.

    Equal scores get no order. `auroc` and `hits` are expectations over random orders of tied items. Average precision
    is a sum over the distinct scores t, from the highest to the lowest, as in scikit-learn:

        AP = Σ_t (R_t − R_{t−1}) · P_t

    R_t and P_t are recall and precision of all items with a score of at least t. A weight is the number of times that
    an item is present, as in a bootstrap resample.

    Args:
        scores: the score of each item, float [N], without NaN. A higher score means more suspicious.
        wrong: whether each item is wrong, bool [N]. At least one must be.
        capacities: the values of k. Each is at least 1 and at most the sum of every row of weights.
        weights: how often each item is present, int [B, N]. None means once, with B = 1.

    Returns:
        the figures for each row of weights.
    """
    given = np.ones((1, len(scores)), dtype=np.int64) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    lasts = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
    indices = np.flatnonzero(wrong[order])
    groups, firsts = np.unique(np.searchsorted(lasts, indices), return_index=True)
    ties = _Ties(indices, firsts, lasts[groups], np.where(groups > 0, lasts[groups - 1], -1))
    rows = max(1, _WEIGHTS_AT_ONCE // len(order))
    parts = [_rank(given[start : start + rows][:, order], ties, capacities) for start in range(0, len(given), rows)]
    return Ranking(
        np.concatenate([part.auroc for part in parts]),
        np.concatenate([part.average_precision for part in parts]),
        np.concatenate([part.hits for part in parts]),
    )


@dataclass(frozen=True)
class _Ties:
    """The groups of equal scores that contain a wrong item. For the other groups, only the size matters."""

    indices: NDArray[np.int64]
    """The index of each wrong item in the order, int64 [wrong items]."""
    firsts: NDArray[np.int64]
    """The index in `indices` at which each group starts, int64 [groups]."""
    ends: NDArray[np.int64]
    """The last index of each group in the order, int64 [groups]."""
    before: NDArray[np.int64]
    """The index before each group in the order, int64 [groups]. −1 for a group at the start."""


def _rank(weights: NDArray[np.integer], ties: _Ties, capacities: Sequence[int]) -> Ranking:
    """Return the figures for weights [B, N] whose columns are in order. Arrays by group are [B, groups]."""
    seen = np.cumsum(weights, axis=1, dtype=np.int64)
    total = seen[:, -1].astype(np.float64)
    gained = np.add.reduceat(weights[:, ties.indices], ties.firsts, axis=1, dtype=np.int64).astype(np.float64)
    hits_so_far = np.cumsum(gained, axis=1)
    seen_so_far = seen[:, ties.ends].astype(np.float64)
    before = np.where(ties.before >= 0, seen[:, ties.before], 0)
    size = seen_so_far - before
    all_wrong = hits_so_far[:, -1]
    all_correct = total - all_wrong
    correct_after = all_correct[:, None] - (seen_so_far - hits_so_far)
    # The fraction of each group that is among the first k. A group of size 0 has no hits.
    hits = [(gained * np.clip((k - before) / np.maximum(size, 1), 0, 1)).sum(axis=1) for k in capacities]
    with np.errstate(invalid="ignore"):
        return Ranking(
            auroc=(gained * (correct_after + (size - gained) / 2)).sum(axis=1) / (all_wrong * all_correct),
            average_precision=(gained * hits_so_far / np.maximum(seen_so_far, 1)).sum(axis=1) / all_wrong,
            hits=np.stack(hits, axis=1),
        )
