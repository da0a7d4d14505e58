"""The streaming pipeline: list → fetch → decode → batch → count → Parquet parts.

Each arrow is a bounded queue and each stage has threads of its own, so that the network, the decoder and the model
work at the same time and memory does not grow with the number of images.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from reconcile import interruption
from reconcile.bucket import Bucket, FetchError, StoredObject
from reconcile.channel import Channel, Stages, Stopped
from reconcile.cores import available_cores, fetches_in_flight
from reconcile.count_rows import counted_row, uncounted_row
from reconcile.images import UnreadableImage, check_size, load_image
from reconcile.interruption import Interrupted
from reconcile.records import MAX_RECORD_BYTES, InvalidRecord, bin_id, read_abid_record
from reconcile.store import COUNTS_SCHEMA, RECORDS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from reconcile.backlog import Backlog
    from reconcile.counter import Counter
    from reconcile.store import Output

LISTED_AHEAD = 2000
PART_ROWS = 8192
PART_SECONDS = 10.0
"""A part is written when one of these is reached: `kill -9` costs ten seconds of counting. Fewer rows would make so
many parts of a fast night that bringing them from S3 takes long every night."""


class Work(NamedTuple):
    """What a pipeline got done."""

    objects: int
    failed: int
    """Those of them that could not be had or read."""
    seconds: float
    """From its start to the last part written."""


class _Fetched(NamedTuple):
    """One object's bytes, or why they could not be had."""

    stored: StoredObject
    data: bytes = b""
    error: FetchError | UnreadableImage | InvalidRecord | None = None


@dataclass(frozen=True)
class _Batch:
    """Decoded images beside the objects they came from; and those that could not be decoded."""

    pixels: NDArray[np.uint8]
    images: list[StoredObject]
    unreadable: list[tuple[StoredObject, str, bool]]


def count_images(
    bucket: Bucket,
    images: Backlog,
    counter: Counter,
    output: Output,
    progress: Callable[[int], None],
    complain: Callable[[str, str], None],
) -> Work:
    """Count every image and write the counts to `<out>/counts/<model id>/`.

    Args:
        bucket: where the images lie.
        images: what to count.
        counter: the model.
        output: where the parts go.
        progress: called with the number of images just counted.
        complain: called with key and reason of each image that could not be had or read.

    Returns:
        how many images were taken, and how long it took; each has a row, counted or with a reason.

    Raises:
        ReconcileError: the output cannot be written, or the listing broke.
        Interrupted: somebody asked this process to stop.
    """
    fetchers, decoders = fetches_in_flight(), available_cores()
    emptied: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()
    with Stages() as stages:
        stages.on_stop(images.stop)
        listed: Channel[StoredObject] = Channel(stages, LISTED_AHEAD, 1)
        fetched: Channel[_Fetched] = Channel(stages, 2 * fetchers, fetchers)
        batches: Channel[_Batch] = Channel(stages, 2 * counter.workers, decoders)
        rows: Channel[list[dict[str, Any]]] = Channel(stages, 4 * counter.workers, counter.workers)
        stages.start("list", 1, lambda _: _list(images, listed), listed)
        stages.start("fetch", fetchers, lambda _: _fetch(bucket, listed, fetched, check_size), fetched)
        stages.start("decode", decoders, lambda _: _decode(fetched, batches, counter, emptied), batches)
        stages.start("count", counter.workers, lambda worker: _count(batches, rows, counter, worker, emptied), rows)
        return write_rows(rows, output, f"counts/{counter.model_id}", COUNTS_SCHEMA, progress, complain)


def read_records(
    bucket: Bucket,
    records: Backlog,
    output: Output,
    progress: Callable[[int], None],
    complain: Callable[[str, str], None],
) -> Work:
    """Read every JSON record and write it to `<out>/records/`, in the same way as images are counted."""
    fetchers = fetches_in_flight()
    with Stages() as stages:
        stages.on_stop(records.stop)
        listed: Channel[StoredObject] = Channel(stages, LISTED_AHEAD, 1)
        fetched: Channel[_Fetched] = Channel(stages, 2 * fetchers, fetchers)
        rows: Channel[list[dict[str, Any]]] = Channel(stages, 64, 1)
        stages.start("list", 1, lambda _: _list(records, listed), listed)
        stages.start("fetch", fetchers, lambda _: _fetch(bucket, listed, fetched, _check_record_size), fetched)
        stages.start("read", 1, lambda _: _read(fetched, rows), rows)
        return write_rows(rows, output, "records", RECORDS_SCHEMA, progress, complain)


def _list(objects: Backlog, listed: Channel[StoredObject]) -> None:
    for stored in objects:
        listed.put(stored)


def _fetch(
    bucket: Bucket, listed: Channel[StoredObject], fetched: Channel[_Fetched], check: Callable[[int], None]
) -> None:
    for stored in listed:
        try:
            check(stored.size)
            fetched.put(_Fetched(stored, bucket.get(stored.key, stored.etag)))
        except (FetchError, UnreadableImage, InvalidRecord) as error:
            fetched.put(_Fetched(stored, error=error))


def _decode(
    fetched: Channel[_Fetched], batches: Channel[_Batch], counter: Counter, emptied: SimpleQueue[NDArray[np.uint8]]
) -> None:
    def empty() -> _Batch:
        try:
            return _Batch(emptied.get_nowait(), [], [])
        except Empty:  # as often as batches are in use at once
            return _Batch(counter.new_batch(), [], [])

    size, full = counter.card.input_size, counter.batch_size
    batch = empty()
    for item in fetched:
        try:
            if item.error is not None:
                raise item.error
            load_image(item.data, size, out=batch.pixels[len(batch.images)])
            batch.images.append(item.stored)
        except (FetchError, UnreadableImage) as error:
            batch.unreadable.append((item.stored, str(error), isinstance(error, FetchError)))
        if len(batch.images) == full or len(batch.unreadable) == full:
            batches.put(batch)
            batch = empty()
    if batch.images or batch.unreadable:
        batches.put(batch)


def _count(
    batches: Channel[_Batch],
    rows: Channel[list[dict[str, Any]]],
    counter: Counter,
    worker: int,
    emptied: SimpleQueue[NDArray[np.uint8]],
) -> None:
    labels = counter.card.labels
    for batch in batches:
        now = datetime.now(UTC)
        found = [
            uncounted_row(stored.key, stored.etag, reason, again, now) for stored, reason, again in batch.unreadable
        ]
        if batch.images:
            probabilities = counter.count(batch.pixels[: len(batch.images)], worker)
            for stored, shares in zip(batch.images, probabilities, strict=True):
                found.append(counted_row(stored.key, stored.etag, shares, labels, now))
        emptied.put(batch.pixels)
        rows.put(found)


def _check_record_size(byte_count: int) -> None:
    if byte_count > MAX_RECORD_BYTES:
        raise InvalidRecord(
            f"{byte_count / 2**20:.0f} MB, over the limit of {MAX_RECORD_BYTES // 2**20} MB for a record"
        )


def _read(fetched: Channel[_Fetched], rows: Channel[list[dict[str, Any]]]) -> None:
    for item in fetched:
        row: dict[str, Any] = {
            "record_key": item.stored.key,
            "etag": item.stored.etag,
            "bin_id": bin_id(item.stored.key),
            "try_again": isinstance(item.error, FetchError),
            "read_at": datetime.now(UTC),
        }
        try:
            if item.error is not None:
                raise item.error
            record = read_abid_record(item.data)
            row |= {"expected_quantity": record.expected_quantity, "items": record.items, "note": record.note}
        except (FetchError, InvalidRecord) as error:
            row["reason"] = str(error)
        rows.put([row])


def write_rows(
    rows: Channel[list[dict[str, Any]]],
    output: Output,
    folder: str,
    schema: Any,
    progress: Callable[[int], None],
    complain: Callable[[str, str], None],
) -> Work:
    """Gather rows into parts.

    Args:
        rows: as they come; the first column of `schema` is their key, and those with a `reason` have failed.
        output: where the parts go.
        folder: in it.
        schema: of the rows.
        progress: called with the number of objects just done.
        complain: called with key and reason of each that failed.

    Raises:
        ReconcileError: they cannot be written.
        Interrupted: somebody asked this process to stop.
        Stopped: another stage has failed.

    A wish to stop is heard between two parts and never within one. Whatever ends it early, what is done and waits is
    written first: nothing that was counted is counted again.
    """
    started = time.monotonic()
    parts, failed = _Parts(output, folder, schema), 0
    with interruption.postponed():
        try:
            for found in rows:
                parts.add(found)
                for row in found:
                    if row.get("reason") is not None:
                        failed += 1
                        complain(row[schema.names[0]], row["reason"])
                progress(len(found))
                interruption.check()
        except (KeyboardInterrupt, Stopped) as stop:
            for found in rows.left():
                parts.add(found)
            parts.write()
            if isinstance(stop, Stopped) and not interruption.is_requested():
                raise
            raise Interrupted(parts.written) from None
        parts.write()
        if interruption.is_requested():
            raise Interrupted(parts.written)
    return Work(parts.written, failed, time.monotonic() - started)


class _Parts:
    """Rows on their way to <out>. Each is handed over once, so that none is in two parts whatever comes between."""

    def __init__(self, output: Output, folder: str, schema: Any) -> None:
        self._output, self._folder, self._schema = output, folder, schema
        self._waiting: list[dict[str, Any]] = []
        self._due = time.monotonic() + PART_SECONDS
        self.written = 0
        """Rows in parts that are there."""

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take up rows; write a part where there are enough, or enough time has passed."""
        self._waiting += rows
        if len(self._waiting) >= PART_ROWS or time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        rows, self._waiting = self._waiting, []
        if rows:
            self._output.write_part(self._folder, self._schema, rows)
            self.written += len(rows)
        self._due = time.monotonic() + PART_SECONDS
