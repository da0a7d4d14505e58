"""How good an order is that should put the wrong ones first: AUROC, average precision, hits among the first k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_AT_A_TIME = 2_000_000
"""Weights that are worked on at once: some 150 MB."""


@dataclass(frozen=True)
class Ranking:
    """The figures of one order under each row of weights; no number where nothing there is wrong, or all is."""

    auroc: NDArray[np.float64]
    """float64 [B]: the probability that a wrong one comes before a right one, a tie counting half."""
    average_precision: NDArray[np.float64]
    """float64 [B]."""
    hits: NDArray[np.float64]
    """float64 [B, capacities]: wrong ones among the first k, expected where a tie lies across the edge."""


def rank(
    scores: NDArray[np.floating],
    wrong: NDArray[np.bool_],
    capacities: Sequence[int],
    weights: NDArray[np.integer] | None = None,
) -> Ranking:
    """Hold an order against the truth.

    Ties are broken by no order of ours: what comes out is the expectation over random orders among the tied for `auroc`
    and `hits`, and for `average_precision` the sum over the distinct scores t, from the highest,

        AP = Σ_t (R_t − R_{t−1}) · P_t        R_t, P_t: recall and precision of all that score t or more

    as scikit-learn takes it. Weights say how often each one is there, which is what a bootstrap needs.

    Args:
        scores: higher is more suspicious, float [N], no NaN.
        wrong: which are wrong, bool [N]; one at least.
        capacities: how many of the first to look at, each from 1 to the sum of any row of weights.
        weights: whole numbers, [B, N]; None for one row of ones.

    Returns:
        the figures, a row for each row of weights.
    """
    ones = np.ones((1, len(scores)), dtype=np.int64) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    lasts = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
    places = np.flatnonzero(wrong[order])
    groups, firsts = np.unique(np.searchsorted(lasts, places), return_index=True)
    ties = _Ties(places, firsts, lasts[groups], np.where(groups > 0, lasts[groups - 1], -1))
    rows = max(1, _AT_A_TIME // len(order))
    parts = [_rank(ones[start : start + rows][:, order], ties, capacities) for start in range(0, len(ones), rows)]
    return Ranking(
        np.concatenate([part.auroc for part in parts]),
        np.concatenate([part.average_precision for part in parts]),
        np.concatenate([part.hits for part in parts]),
    )


@dataclass(frozen=True)
class _Ties:
    """The groups of equal scores in which something is wrong; the others change no figure but by their size."""

    places: NDArray[np.int64]
    """Of all wrong ones in the order."""
    firsts: NDArray[np.int64]
    """int64 [groups]: where in `places` each group starts."""
    ends: NDArray[np.int64]
    """int64 [groups]: the last place of each group in the order."""
    before: NDArray[np.int64]
    """int64 [groups]: the place before each group, −1 at the beginning."""


def _rank(weights: NDArray[np.integer], ties: _Ties, capacities: Sequence[int]) -> Ranking:
    """The same of weights that are already in order; [B, groups] below."""
    seen = np.cumsum(weights, axis=1, dtype=np.int64)
    total = seen[:, -1].astype(np.float64)
    gained = np.add.reduceat(weights[:, ties.places], ties.firsts, axis=1, dtype=np.int64).astype(np.float64)
    found = np.cumsum(gained, axis=1)
    upto = seen[:, ties.ends].astype(np.float64)
    before = np.where(ties.before >= 0, seen[:, ties.before], 0)
    size = upto - before
    all_wrong = found[:, -1]
    all_right = total - all_wrong
    right_after = all_right[:, None] - (upto - found)
    # The part of each group that lies among the first k. Where its size is 0, so is what it gains.
    hits = [(gained * np.clip((k - before) / np.maximum(size, 1), 0, 1)).sum(axis=1) for k in capacities]
    with np.errstate(invalid="ignore"):
        return Ranking(
            auroc=(gained * (right_after + (size - gained) / 2)).sum(axis=1) / (all_wrong * all_right),
            average_precision=(gained * found / np.maximum(upto, 1)).sum(axis=1) / all_wrong,
            hits=np.stack(hits, axis=1),
        )
