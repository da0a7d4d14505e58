"""What is kept of an image: its count, or why there is none. Every engine makes its rows here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconcile.output.schemas import COUNTS_SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


def counted_row(
    key: str | None, etag: str | None, shares: NDArray[np.float32], labels: CountLabels, now: datetime
) -> dict[str, Any]:
    """A row of `store.COUNTS_SCHEMA` for an image that was counted.

    Args:
        key: of the image, relative to its bucket; None for bytes that are in none.
        etag: of the bytes that were counted; likewise.
        shares: float32 [labels], the probability of each count label.
        labels: of the model.
        now: with a time zone.
    """
    best = int(shares.argmax())
    return _row(
        image_key=key,
        etag=etag,
        predicted_label=labels.names[best],
        predicted_count=labels.values[best],
        probabilities=shares,
        try_again=False,
        counted_at=now,
    )


def uncounted_row(key: str, etag: str, reason: str, try_again: bool, now: datetime) -> dict[str, Any]:
    """A row of `store.COUNTS_SCHEMA` for an image that was not counted.

    Args:
        key: of the image, relative to its bucket.
        etag: as listed.
        reason: for a person to act on.
        try_again: whether it lay in fetching, and not in the image.
        now: with a time zone.
    """
    return _row(image_key=key, etag=etag, reason=reason, try_again=try_again, counted_at=now)


def _row(**known: Any) -> dict[str, Any]:
    return dict.fromkeys(COUNTS_SCHEMA.names) | known
