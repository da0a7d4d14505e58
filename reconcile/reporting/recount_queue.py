"""The recount queue as the report shows it: each bin with its photo and what the model makes of it."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, thumbnail
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from reconcile.labels import CountLabels
    from reconcile.storage.base import Bucket


MOST_SHOWN = 500
"""Bins; with more photos the page would not open at once."""
_THUMBNAIL_PIXELS = 256
_FETCHERS = 16
_LONGEST_NUMBER = 20
"""Digits."""


def queue_rows(queue: list[dict[str, Any]], labels: CountLabels, bucket: Bucket | None) -> list[dict[str, Any]]:
    """Add `photo`, `bars`, `chance` (to be wrong) and `bin_order` to each row of sql/figures/recount_queue.sql.

    The photo is a data URL; None where that very photo, the one that was counted, is not there any more.
    """
    photos = [None] * len(queue) if bucket is None else _photos(bucket, queue)
    return [
        row
        | {
            "photo": photo,
            "bars": _bars(labels, row["probabilities"], row["expected_quantity"]),
            "chance": _chance(row["p_wrong"]),
            "bin_order": _in_order(row["bin_id"]),
        }
        for row, photo in zip(queue, photos, strict=True)
    ]


def _photos(bucket: Bucket, queue: list[dict[str, Any]]) -> list[str | None]:
    """The photo of each row, fetched and made small by some threads at once."""
    photos: list[str | None] = [None] * len(queue)
    with StageGroup() as stages:
        places: Channel[int] = Channel(stages, len(queue), 1)
        made: Channel[tuple[int, str | None]] = Channel(stages, len(queue), _FETCHERS)

        def make() -> None:
            for place in places:
                made.put((place, _photo(bucket, queue[place])))

        for place in range(len(queue)):
            places.put(place)
        places.producer_ended()
        stages.start("photo", _FETCHERS, lambda _: make(), made)
        for place, photo in made:
            photos[place] = photo
    return photos


def _photo(bucket: Bucket, row: dict[str, Any]) -> str | None:
    try:
        webp = thumbnail(bucket.get(row["image_key"], row["image_etag"]), _THUMBNAIL_PIXELS)
    except (FetchError, UnreadableImage, ReconcileError):  # a report without photos is better than none
        return None
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _in_order(bin_id: str) -> str:
    """What bins are sorted by: their numbers as numbers, so that A-9 comes before A-10."""
    return re.sub(r"[0-9]+", lambda found: found[0].zfill(_LONGEST_NUMBER), bin_id)


def _chance(p: float | None) -> str:
    """In whole percent, but never as certain: no photo is."""
    if p is None:
        return "–"
    percent = f"{p:.0%}"
    return {"100%": ">99%", "0%": "<1%"}.get(percent, percent)


def _bars(labels: CountLabels, probabilities: list[float], expected_quantity: int) -> list[dict[str, Any]]:
    """One bar a label for the small distribution beside each photo.

    The page draws them from its own style sheet: 500 charts of Altair would be a third of its size and take a minute.
    """
    on_record = labels.index_of(expected_quantity)
    best = int(np.argmax(probabilities))
    return [
        {"label": label, "percent": round(100 * share, 1), "is_record": place == on_record, "is_count": place == best}
        for place, (label, share) in enumerate(zip(labels.names, probabilities, strict=True))
    ]
