"""Rows of the counts table. Every engine builds its rows here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconcile.output.schemas import COUNTS_SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from reconcile.images import PhotoFacts
    from reconcile.labels import CountLabels


def counted_row(
    key: str | None,
    etag: str | None,
    probs: NDArray[np.float32],
    labels: CountLabels,
    now: datetime,
    facts: PhotoFacts,
) -> dict[str, Any]:
    """Return the row of `schemas.COUNTS_SCHEMA` for an image that was counted.

    Args:
        key: the key of the image, relative to its bucket; None if the bytes belong to no bucket.
        etag: the ETag of the bytes that were counted; None if they belong to no bucket.
        probs: float32 [labels], the probability of each count label.
        labels: the labels of the model.
        now: the time of the count, with a time zone.
        facts: what else is known of the image.
    """
    best = int(probs.argmax())
    return _row(
        image_key=key,
        etag=etag,
        predicted_label=labels.names[best],
        predicted_count=labels.values[best],
        probabilities=probs,
        try_again=False,
        counted_at=now,
        **facts._asdict(),
    )


def uncounted_row(key: str, etag: str, reason: str, try_again: bool, now: datetime) -> dict[str, Any]:
    """Return the row of `schemas.COUNTS_SCHEMA` for an image that could not be counted.

    Args:
        key: the key of the image, relative to its bucket.
        etag: the ETag in the listing.
        reason: the reason, for a person who can act on it.
        try_again: True if the image could not be fetched; False if the image itself is unreadable.
        now: the time of the attempt, with a time zone.
    """
    return _row(image_key=key, etag=etag, reason=reason, try_again=try_again, counted_at=now)


def _row(**values: Any) -> dict[str, Any]:
    """Return a row with these values and None in all other columns."""
    return dict.fromkeys(COUNTS_SCHEMA.names) | values
