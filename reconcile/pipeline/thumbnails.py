"""Fetch the photos of the recount queue as thumbnails for the report."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, check_size, thumbnail
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.storage.base import Bucket


_THUMBNAIL_PIXELS = 256
_FETCHERS = 16


def fetch_thumbnails(bucket: Bucket, queue: Sequence[dict[str, Any]]) -> list[str | None]:
    """Fetch the photo of each bin of the queue, and make it small.

    Args:
        bucket: the bucket with the photos.
        queue: rows with image_key and image_etag.

    Returns:
        a data URL for each row. None if the photo that was counted no longer exists or cannot be read.
    """
    photos: list[str | None] = [None] * len(queue)
    with StageGroup() as stages:
        indices: Channel[int] = Channel(stages, len(queue), 1)
        thumbnails: Channel[tuple[int, str | None]] = Channel(stages, len(queue), _FETCHERS)

        def fetch() -> None:
            for index in indices:
                thumbnails.put((index, _fetch_thumbnail(bucket, queue[index])))

        for index in range(len(queue)):
            indices.put(index)
        indices.producer_ended()
        stages.start("photo", _FETCHERS, lambda _: fetch(), thumbnails)
        for index, photo in thumbnails:
            photos[index] = photo
    return photos


def _fetch_thumbnail(bucket: Bucket, row: dict[str, Any]) -> str | None:
    try:
        webp = thumbnail(bucket.get(row["image_key"], row["image_etag"], check_size), _THUMBNAIL_PIXELS)
    except (FetchError, UnreadableImage, ReconcileError):  # a report without this photo is better than no report
        return None
    return "data:image/webp;base64," + base64.b64encode(webp).decode()
