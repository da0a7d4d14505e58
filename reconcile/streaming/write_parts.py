"""The last stage: collect result rows and write them to `<out>` as Parquet parts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from reconcile.concurrency import cancellation
from reconcile.concurrency.cancellation import Interrupted
from reconcile.concurrency.channels import Stopped
from reconcile.output.schemas import COUNTS_SCHEMA

if TYPE_CHECKING:
    from reconcile.concurrency.channels import Channel
    from reconcile.output.store import Output
    from reconcile.streaming.observers import CountObserver


PART_ROWS = 8192
PART_SECONDS = 10.0
"""A part is written when it has this many rows, or after this time. So `kill -9` loses ten seconds of counting.

With fewer rows a fast run would write so many parts that later runs need long to download them from S3.
"""
_PACKED_ROWS = 256
"""The number of dicts that are packed into one Arrow batch, because a record takes much less memory in Arrow."""


class StageResult(NamedTuple):
    """The result of a stage."""

    objects: int
    """The number of objects with a row."""
    failed: int
    """The number of objects that could not be fetched or read."""
    seconds: float
    """The time from the start of the stage until the last part was written."""


def write_rows(
    rows: Channel[list[dict[str, Any]]],
    output: Output,
    folder: str,
    schema: pa.Schema,
    observer: CountObserver,
) -> StageResult:
    """Collect rows and write them as Parquet parts.

    A request to stop is handled between two parts, never while a part is written. If the stage ends early, it first
    writes the rows that wait. So no object is counted twice.

    Args:
        rows: the rows. The first column of `schema` is their key. A row with a `reason` has failed.
        output: where the parts are written.
        folder: the folder of the parts in `output`.
        schema: the schema of the rows.
        observer: is called with the number of finished objects, with each failed object, and with each photo that is
            odd.

    Raises:
        ReconcileError: the parts cannot be written.
        Interrupted: somebody asked this process to stop.
        Stopped: another stage has failed.
    """
    started = time.monotonic()
    parts, failed = _Parts(output, folder, schema), 0
    with cancellation.deferred():
        try:
            for new_rows in rows:
                parts.add(new_rows)
                for row in new_rows:
                    if row.get("reason") is not None:
                        failed += 1
                        observer.failed(row[schema.names[0]], row["reason"])
                    elif row.get("note") is not None and schema is COUNTS_SCHEMA:
                        observer.noted(row[schema.names[0]], row["note"])
                observer.advance(len(new_rows))
                cancellation.raise_if_cancelled()
        except (KeyboardInterrupt, Stopped) as stop:
            for new_rows in rows.drain():
                parts.add(new_rows)
            parts.write()
            if isinstance(stop, Stopped) and not cancellation.is_requested():
                raise
            raise Interrupted(parts.written) from None
        parts.write()
        if cancellation.is_requested():
            raise Interrupted(parts.written)
    return StageResult(parts.written, failed, time.monotonic() - started)


class _Parts:
    """Rows on their way to `<out>`. Each row is handed over once, so an interruption never puts it into two parts."""

    def __init__(self, output: Output, folder: str, schema: pa.Schema) -> None:
        self._output, self._folder, self._schema = output, folder, schema
        self._waiting: list[dict[str, Any]] = []
        self._packed: list[pa.RecordBatch] = []
        self._due = time.monotonic() + PART_SECONDS
        self.written = 0
        """The number of rows in written parts."""

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows, and write a part if there are enough rows or enough time has passed."""
        self._waiting += rows
        if len(self._waiting) >= _PACKED_ROWS:
            self._pack()
        if len(self._waiting) + sum(map(len, self._packed)) >= PART_ROWS or time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the rows that wait."""
        self._pack()
        packed, self._packed = self._packed, []
        if packed:
            part = pa.Table.from_batches(packed)
            self._output.write_part(self._folder, part)
            self.written += len(part)
        self._due = time.monotonic() + PART_SECONDS

    def _pack(self) -> None:
        """Pack the rows that wait into one Arrow batch."""
        rows, self._waiting = self._waiting, []
        if rows:
            self._packed.append(pa.RecordBatch.from_pylist(rows, schema=self._schema))
