"""What a run asks of whoever counts for it."""

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
    """Counts images with one model and writes them to `<out>/counts/<model id>/`, wherever the work is done."""

    @property
    def model(self) -> CountModel:
        """What it counts with."""

    @property
    def device(self) -> str:
        """What it counts on, as the report has it (CPU, CUDA and so on)."""

    @property
    def size(self) -> str:
        """How much of that there is, for a person: `2 threads`."""

    def resume(self, bucket: Bucket, output: Output) -> None:
        """Bring into `output` what this engine counted elsewhere for an earlier run that did not live to see it.

        Called once the run has <out> for itself, and before it looks what is counted already.

        Raises:
            ReconcileError: it is there and cannot be had.
        """

    def count(self, images: Backlog, source: Bucket, output: Output, observer: CountObserver) -> StageResult:
        """Count every image; each ends in one row, counted or with a reason.

        Args:
            images: the images to count; the backlog may still be filling.
            source: the bucket of the images.
            output: where the Parquet parts are written.
            observer: hears what is counted, and which images could not be fetched or read.

        Raises:
            ReconcileError: it cannot go on.
            Interrupted: somebody asked this process to stop.
        """
