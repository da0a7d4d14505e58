"""The streaming pipeline: list → fetch → decode → batch → count → Parquet parts.

Each arrow is a bounded queue and each stage has threads of its own, so that the network, the decoder and the model
work at the same time and memory does not grow with the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.concurrency.cpu import available_cores
from reconcile.images import UnreadableImage, check_size, load_image
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.storage.base import FetchError
from reconcile.streaming.count_rows import counted_row, uncounted_row
from reconcile.streaming.fetch import start_fetching
from reconcile.streaming.write_parts import write_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reconcile.inference.counter import CountPredictor
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket, StoredObject
    from reconcile.streaming.fetch import Fetched
    from reconcile.streaming.observers import CountObserver
    from reconcile.streaming.write_parts import StageResult


@dataclass(frozen=True)
class _Batch:
    """Decoded images beside the objects they came from; and those that could not be decoded."""

    pixels: NDArray[np.uint8]
    images: list[StoredObject]
    unreadable: list[tuple[StoredObject, str, bool]]


def count_images(
    images: Backlog, source: Bucket, counter: CountPredictor, output: Output, observer: CountObserver
) -> StageResult:
    """Count every image and write the counts to `<out>/counts/<model id>/`.

    Args:
        images: the images to count; the backlog may still be filling.
        source: the bucket of the images.
        counter: the loaded model.
        output: where the Parquet parts are written.
        observer: hears what is counted, and which images could not be fetched or read.

    Returns:
        how many images were taken, and how long it took; each has a row, counted or with a reason.

    Raises:
        ReconcileError: the output cannot be written, or the listing broke.
        Interrupted: somebody asked this process to stop.
    """
    decoders = available_cores()
    emptied: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()
    with StageGroup() as stages:
        fetched = start_fetching(stages, source, images, check_size)
        batches: Channel[_Batch] = Channel(stages, 2 * counter.workers, decoders)
        rows: Channel[list[dict[str, Any]]] = Channel(stages, 4 * counter.workers, counter.workers)
        stages.start("decode", decoders, lambda _: _decode(fetched, batches, counter, emptied), batches)
        stages.start("count", counter.workers, lambda worker: _count(batches, rows, counter, worker, emptied), rows)
        return write_rows(rows, output, f"counts/{counter.model_id}", COUNTS_SCHEMA, observer)


def _decode(
    fetched: Channel[Fetched],
    batches: Channel[_Batch],
    counter: CountPredictor,
    emptied: SimpleQueue[NDArray[np.uint8]],
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
    counter: CountPredictor,
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
