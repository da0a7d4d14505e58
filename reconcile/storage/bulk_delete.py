"""Removes many objects, many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.concurrency.channels import Channel, StageGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconcile.storage.base import Bucket


_AT_ONCE = 16


def delete_objects(bucket: Bucket, keys: Sequence[str], progress: Callable[[int], object]) -> None:
    """Delete some objects, in any order; nobody who asks to stop waits for an S3 that does not answer.

    Args:
        bucket: where they are.
        keys: which.
        progress: called with the number of objects just deleted.

    Raises:
        ReconcileError: one cannot be removed; others may be left, too.
        KeyboardInterrupt: somebody asked to stop; likewise.
    """
    with StageGroup() as stages:
        waiting: Channel[str] = Channel(stages, len(keys), 1)
        deleted: Channel[int] = Channel(stages, len(keys), _AT_ONCE)

        def delete() -> None:
            for key in waiting:
                bucket.delete(key)
                deleted.put(1)

        for key in keys:
            waiting.put(key)
        waiting.producer_ended()
        stages.start("delete", _AT_ONCE, lambda _: delete(), deleted)
        for number in deleted:
            progress(number)
