"""Rows of the recount queue in the report, with photos and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.reconciliation.results import plain_rows
from reconcile.text import natural_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.labels import CountLabels
    from reconcile.reconciliation.results import Results


MOST_SHOWN = 500
"""The largest number of bins on the page. With more photos, the page would open slowly."""
_MOST_ITEMS = 4
"""The largest number of items that the page lists for one bin."""


def shown_queue(results: Results, capacity: int) -> list[dict[str, Any]]:
    """Return the bins of the recount queue that the report shows, as rows of sql/figures/recount_queue.sql.

    Args:
        results: the reconciled rows of the run.
        capacity: the number of bins that people can recount. The report shows at most `MOST_SHOWN` of them.
    """
    most = min(capacity, MOST_SHOWN)
    return plain_rows(results.table("figures/recount_queue", most=most, most_items=_MOST_ITEMS))


def queue_rows(
    queue: Sequence[dict[str, Any]], photos: Sequence[str | None], labels: CountLabels
) -> list[dict[str, Any]]:
    """Add `photo`, `bars`, `chance` (to be wrong) and `bin_order` to each row of the queue.

    Args:
        queue: rows from `shown_queue`.
        photos: the photo of each row as a data URL; None if there is no photo to show.
        labels: the labels of the model that counted.
    """
    return [
        row
        | {
            "photo": photo,
            "bars": _bars(labels, row["probabilities"], row["expected_quantity"]),
            "chance": _chance(row["p_wrong"]),
            "bin_order": natural_order(row["bin_id"]),
        }
        for row, photo in zip(queue, photos, strict=True)
    ]


def _chance(p: float | None) -> str:
    """Return a probability in whole percent, but never 0 % or 100 %, because no photo is certain."""
    if p is None:
        return "–"
    percent = f"{p:.0%}"
    return {"100%": ">99%", "0%": "<1%"}.get(percent, percent)


def _bars(labels: CountLabels, probabilities: list[float], expected_quantity: int) -> list[dict[str, Any]]:
    """Return one bar per label for the small chart next to each photo.

    The style sheet draws the bars, because hundreds of Altair charts would make the page large and slow.
    """
    on_record = labels.index_of(expected_quantity)
    best = int(np.argmax(probabilities))
    return [
        {"label": label, "percent": round(100 * prob, 1), "is_record": index == on_record, "is_count": index == best}
        for index, (label, prob) in enumerate(zip(labels.names, probabilities, strict=True))
    ]
