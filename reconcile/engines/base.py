"""What a run asks of whoever counts for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.inference.model import CountModel
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket
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

    def count(
        self,
        bucket: Bucket,
        images: Backlog,
        output: Output,
        progress: Callable[[int], None],
        complain: Callable[[str, str], None],
    ) -> StageResult:
        """Count every image; each ends in one row, counted or with a reason.

        Args:
            bucket: where the images lie.
            images: what to count; it may still be filling.
            output: where the parts go.
            progress: called with the number of images just counted.
            complain: called with key and reason of each image that could not be had or read.

        Raises:
            ReconcileError: it cannot go on.
            Interrupted: somebody asked this process to stop.
        """
