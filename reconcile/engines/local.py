"""Counts in this process, on all of its cores or GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.streaming.count_images import count_images
from reconcile.text import plural

if TYPE_CHECKING:
    from reconcile.inference.counter import CountPredictor
    from reconcile.inference.model import CountModel
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket
    from reconcile.streaming.observers import CountObserver
    from reconcile.streaming.write_parts import StageResult


class LocalEngine:
    """See `engine.Engine`."""

    def __init__(self, counter: CountPredictor) -> None:
        self._counter = counter

    @property
    def model(self) -> CountModel:
        """The loaded model."""
        return self._counter.model

    @property
    def device(self) -> str:
        """What counts, in words."""
        return self._counter.device

    @property
    def size(self) -> str:
        """Threads that count at once."""
        workers = self._counter.workers
        return plural(workers, "thread")

    def resume(self, bucket: Bucket, output: Output) -> None:
        """Nothing: what was counted here was written from here."""

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count in threads of this process. What they took is free afterwards, for the join."""
        try:
            return count_images(images, source, self._counter, output, observer)
        finally:
            self._counter.close()
