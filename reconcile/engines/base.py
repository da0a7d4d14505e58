"""The interface of an execution engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reconcile.inference.model import CountModel
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket
    from reconcile.streaming.observers import CountObserver
    from reconcile.streaming.write_parts import StageResult


class Engine(Protocol):
    """A way to count images with one model. The counts go to `<out>/counts/<model id>/`, wherever the work is done."""

    @property
    def model(self) -> CountModel:
        """The model that counts."""

    @property
    def device(self) -> str:
        """The device that counts, as in the report: CPU, CUDA and so on."""

    @property
    def size(self) -> str:
        """The number of devices as text, such as `2 threads`."""

    def resume(self, source: Bucket, output: Output) -> None:
        """Import what this engine counted elsewhere for an earlier run, because that run ended before it could.

        The run calls this after it has acquired the lock of <out>, and before it looks for images that are not counted.

        Args:
            source: the bucket of the images.
            output: where the counts are written.

        Raises:
            ReconcileError: the counts exist and cannot be imported.
        """

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count every image. Each image gets one row, with a count or a reason.

        Args:
            images: the images to count. The backlog may still be filling.
            source: the bucket of the images.
            output: where the Parquet parts are written.
            observer: is called with the number of images counted, and with each image that could not be fetched or
                read.

        Raises:
            ReconcileError: the engine cannot continue.
            Interrupted: somebody asked this process to stop.
        """
