"""Delete many objects in parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.concurrency.channels import Channel, StageGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconcile.storage.base import Bucket


_THREADS = 16


def delete_objects(bucket: Bucket, keys: Sequence[str], progress: Callable[[int], object]) -> None:
    """Delete objects in any order. A request to stop does not wait for an S3 server that is silent.

    Args:
        bucket: holds the objects.
        keys: the objects to delete.
        progress: called with the number of objects just deleted.

    Raises:
        ReconcileError: an object cannot be deleted. Others may be left as well.
        KeyboardInterrupt: the process was asked to stop. Objects may be left.
    """
    with StageGroup() as stages:
        waiting: Channel[str] = Channel(stages, len(keys), 1)
        deleted: Channel[int] = Channel(stages, len(keys), _THREADS)

        def delete() -> None:
            for key in waiting:
                bucket.delete(key)
                deleted.put(1)

        for key in keys:
            waiting.put(key)
        waiting.producer_ended()
        stages.start("delete", _THREADS, lambda _: delete(), deleted)
        for number in deleted:
            progress(number)
