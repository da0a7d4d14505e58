"""Count in this process, on all its cores or GPUs."""

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
    """An engine that counts in threads of this process. `base.Engine` describes the methods."""

    def __init__(self, predictor: CountPredictor) -> None:
        self._predictor = predictor

    @property
    def model(self) -> CountModel:
        """The loaded model."""
        return self._predictor.model

    @property
    def device(self) -> str:
        """The device that counts."""
        return self._predictor.device

    @property
    def size(self) -> str:
        """The number of threads that count."""
        return plural(self._predictor.workers, "thread")

    def resume(self, source: Bucket, output: Output) -> None:
        """Do nothing: this process wrote everything that it counted."""

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count in threads of this process, and then free the memory of the model for the join."""
        try:
            return count_images(images, source, self._predictor, output, observer)
        finally:
            self._predictor.close()
