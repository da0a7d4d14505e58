"""The figures of a shift: how far people are, and what they found against what the run expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.discrepancy.expected_errors import expected_count
from reconcile.recounting.progress import BinState, Progress, SecondCounts

if TYPE_CHECKING:
    from reconcile.recounting.queue import RecountRun


def tally_of(run: RecountRun, progress: Progress, rule: SecondCounts) -> dict[str, Any]:
    """Return the progress of a run's queue.

    Args:
        run: the run.
        progress: what people found.
        rule: when a bin needs a second count.

    Returns:
        total, done, wrong, cannot and second: numbers of bins. A wrong record differs from the count. If nothing is
        left to count, also expected, low and high: how many wrong records the run expected among the counted bins.
    """
    states = {number: progress.state(card, rule) for number, card in run.cards.items()}
    counted = [number for number, state in states.items() if state is BinState.DONE]
    cards = [run.cards[number] for number in counted]
    wrong = sum(progress.counts(card)[-1].true_count != card.expected_quantity for card in cards)
    numbers = list(states.values())
    tally = {
        "total": len(states),
        "done": len(counted),
        "wrong": wrong,
        "cannot": numbers.count(BinState.CANNOT),
        "second": numbers.count(BinState.SECOND),
    }
    if len(counted) + tally["cannot"] == len(states):
        tally |= _expected(run, counted)
    return tally


def _expected(run: RecountRun, counted: list[int]) -> dict[str, Any]:
    chances = [run.cards[number].p_wrong for number in counted]
    known = np.array([chance for chance in chances if chance is not None])
    if not len(known):
        return {"expected": None}
    expected = expected_count(known, 0.5, np.array([0.5]))  # with a single rate, the rate cancels out
    return {"expected": round(expected.value, 1), "low": round(expected.low), "high": round(expected.high)}
