"""What came of each object, gathered into Parquet parts of <out>."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from reconcile.concurrency import cancellation
from reconcile.concurrency.cancellation import Interrupted
from reconcile.concurrency.channels import Stopped

if TYPE_CHECKING:
    from reconcile.concurrency.channels import Channel
    from reconcile.output.store import Output
    from reconcile.streaming.observers import CountObserver


PART_ROWS = 8192
PART_SECONDS = 10.0
"""A part is written when one of these is reached: `kill -9` costs ten seconds of counting. Fewer rows would make so
many parts of a fast night that bringing them from S3 takes long every night."""
_PACKED_ROWS = 256
"""So many dicts become one piece of an Arrow table, in which a record takes a tenth of the memory."""


class StageResult(NamedTuple):
    """What a pipeline got done."""

    objects: int
    failed: int
    """Those of them that could not be had or read."""
    seconds: float
    """From its start to the last part written."""


def write_rows(
    rows: Channel[list[dict[str, Any]]],
    output: Output,
    folder: str,
    schema: pa.Schema,
    observer: CountObserver,
) -> StageResult:
    """Gather rows into parts.

    Args:
        rows: as they come; the first column of `schema` is their key, and those with a `reason` have failed.
        output: where the parts go.
        folder: in it.
        schema: of the rows.
        observer: hears how many objects are done, and which of them failed.

    Raises:
        ReconcileError: they cannot be written.
        Interrupted: somebody asked this process to stop.
        Stopped: another stage has failed.

    A wish to stop is heard between two parts and never within one. Whatever ends it early, what is done and waits is
    written first: nothing that was counted is counted again.
    """
    started = time.monotonic()
    parts, failed = _Parts(output, folder, schema), 0
    with cancellation.deferred():
        try:
            for found in rows:
                parts.add(found)
                for row in found:
                    if row.get("reason") is not None:
                        failed += 1
                        observer.failed(row[schema.names[0]], row["reason"])
                observer.advance(len(found))
                cancellation.raise_if_cancelled()
        except (KeyboardInterrupt, Stopped) as stop:
            for found in rows.drain():
                parts.add(found)
            parts.write()
            if isinstance(stop, Stopped) and not cancellation.is_requested():
                raise
            raise Interrupted(parts.written) from None
        parts.write()
        if cancellation.is_requested():
            raise Interrupted(parts.written)
    return StageResult(parts.written, failed, time.monotonic() - started)


class _Parts:
    """Rows on their way to <out>. Each is handed over once, so that none is in two parts whatever comes between."""

    def __init__(self, output: Output, folder: str, schema: pa.Schema) -> None:
        self._output, self._folder, self._schema = output, folder, schema
        self._waiting: list[dict[str, Any]] = []
        self._packed: list[pa.RecordBatch] = []
        self._due = time.monotonic() + PART_SECONDS
        self.written = 0
        """Rows in parts that are there."""

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take up rows; write a part where there are enough, or enough time has passed."""
        self._waiting += rows
        if len(self._waiting) >= _PACKED_ROWS:
            self._pack()
        if len(self._waiting) + sum(map(len, self._packed)) >= PART_ROWS or time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        self._pack()
        packed, self._packed = self._packed, []
        if packed:
            part = pa.Table.from_batches(packed)
            self._output.write_part(self._folder, part)
            self.written += len(part)
        self._due = time.monotonic() + PART_SECONDS

    def _pack(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            self._packed.append(pa.RecordBatch.from_pylist(rows, schema=self._schema))
