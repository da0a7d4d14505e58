"""Brings what a transform job answered into <out>/counts, each shard as one part that can be written again."""

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
    """One process's share in it. A part is named after its job and shard: who ingests it again replaces it.

    Args:
        folder: where keys and answers are.
        job: of the folder.
        labels: of the job's model; None where that model is not at hand.
        output: where the parts go.
        observer: hears what is ingested, and which images were not counted.
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
        self._taken: set[int] = set()
        self.images = self.failed = 0
        """Those that have a row by now, and those of them that were not counted."""
        self.is_refused = False
        """Whether another model counted, so that nothing of this job is wanted."""

    def ingest_answered(self) -> None:
        """Ingest the answers that are there and were not before.

        Raises:
            ReconcileError: another model counted, or S3 fails.
            KeyboardInterrupt: somebody asked to stop.
        """
        for shard, key in sorted(self._folder.responses().items()):
            if shard not in self._taken and shard < self._job.shards:
                self._take(shard, self._folder.read_response(key))

    def ingest_unanswered(self) -> None:
        """Of a job that completed: give every image of a shard without an answer a row that says so.

        Raises:
            ReconcileError: S3 fails.
            KeyboardInterrupt: somebody asked to stop.
        """
        for shard in range(self._job.shards):
            if shard not in self._taken:
                self._take(shard, b"")

    def _take(self, shard: int, answer: bytes) -> None:
        keys = self._folder.read_shard(shard)
        try:
            rows = rows_of_shard(keys, answer, self._job.model_id, self._labels)
        except ReconcileError:
            self.is_refused = True
            raise
        folder = f"counts/{self._job.model_id}"
        self._output.write_part(folder, pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA), self._job.part(shard))
        self._taken.add(shard)
        self.images += len(rows)
        for row in rows:
            if row["reason"] is not None:
                self.failed += 1
                self._observer.failed(row["image_key"], row["reason"])
        self._observer.advance(len(rows))
        cancellation.raise_if_cancelled()
