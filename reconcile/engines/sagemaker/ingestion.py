"""Write the responses of a transform job to `<out>/counts`. Each shard becomes one part that can be written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from reconcile.concurrency import cancellation
from reconcile.engines.sagemaker.responses import rows_of_shard
from reconcile.errors import ReconcileError
from reconcile.output.schemas import COUNTS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.engines.sagemaker.job_store import TransformFolder, TransformJob
    from reconcile.output.store import Output
    from reconcile.streaming.observers import CountObserver


class Ingestion:
    """The shards of one job that this process has ingested.

    A part is named after its job and shard. So another process that ingests the shard again replaces the part.

    Args:
        folder: the folder of the keys and responses.
        job: the job of the folder.
        labels: the labels of the job's model; None if that model is not available.
        output: where the parts are written.
        observer: is called with the number of ingested images, and with each image that was not counted.
    """

    def __init__(
        self,
        folder: TransformFolder,
        job: TransformJob,
        labels: Sequence[str] | None,
        output: Output,
        observer: CountObserver,
    ) -> None:
        self._folder, self._job, self._labels, self._output = folder, job, labels, output
        self._observer = observer
        self._ingested: set[int] = set()
        self.images = self.failed = 0
        """The number of images with a row, and the number of those that were not counted."""
        self.is_rejected = False
        """True if another model counted. All counts of this job are then rejected."""

    def ingest_new_responses(self) -> None:
        """Ingest the responses that have arrived since the last call.

        Raises:
            ReconcileError: another model counted, or S3 failed.
            KeyboardInterrupt: somebody asked this process to stop.
        """
        for shard, key in sorted(self._folder.responses().items()):
            if shard not in self._ingested and shard < self._job.shards:
                self._ingest(shard, self._folder.read_response(key))

    def ingest_missing_responses(self) -> None:
        """Write a row with a reason for each image of a shard without a response. The job must have completed.

        Raises:
            ReconcileError: S3 failed.
            KeyboardInterrupt: somebody asked this process to stop.
        """
        for shard in range(self._job.shards):
            if shard not in self._ingested:
                self._ingest(shard, b"")

    def _ingest(self, shard: int, responses: bytes) -> None:
        keys = self._folder.read_shard(shard)
        try:
            rows = rows_of_shard(keys, responses, self._job.model_id, self._labels)
        except ReconcileError:
            self.is_rejected = True
            raise
        folder = f"counts/{self._job.model_id}"
        self._output.write_part(folder, pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA), self._job.part_name(shard))
        self._ingested.add(shard)
        self.images += len(rows)
        for row in rows:
            if row["reason"] is not None:
                self.failed += 1
                self._observer.failed(row["image_key"], row["reason"])
            elif row["note"] is not None:
                self._observer.noted(row["image_key"], row["note"])
        self._observer.advance(len(rows))
        cancellation.raise_if_cancelled()
