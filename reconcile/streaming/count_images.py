"""Stages 2 and 3 for photos: decode them into batches, and count.

The whole pipeline is: list → fetch → decode → count → Parquet parts. Each arrow is a bounded queue, and each stage has
its own threads. So the network, the decoder and the model work at the same time, and memory does not grow with the
number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.concurrency.cpu import available_cores
from reconcile.images import UnreadableImage, check_size, read_photo
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.storage.base import FetchError
from reconcile.streaming.count_rows import counted_row, uncounted_row
from reconcile.streaming.fetch import start_fetching
from reconcile.streaming.write_parts import write_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reconcile.images import PhotoFacts
    from reconcile.inference.counter import CountPredictor
    from reconcile.inputs.backlog import Backlog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket, StoredObject
    from reconcile.streaming.fetch import Fetched
    from reconcile.streaming.observers import CountObserver
    from reconcile.streaming.write_parts import StageResult


@dataclass(frozen=True)
class _Batch:
    """Decoded images, their objects, and the objects that could not be decoded."""

    pixels: NDArray[np.uint8]
    """uint8 [batch size, S, S, 3]. The first `len(images)` images are valid."""
    images: list[tuple[StoredObject, PhotoFacts]]
    """The objects of the decoded images and what is known of them, in the order of `pixels`."""
    unreadable: list[tuple[StoredObject, str, bool]]
    """Each object that could not be fetched or decoded, with the reason and whether to try it again."""


def count_images(
    images: Backlog, source: Bucket, predictor: CountPredictor, output: Output, observer: CountObserver
) -> StageResult:
    """Count every image and write the counts to `<out>/counts/<model id>/`.

    Args:
        images: the images to count. The backlog may still be filling.
        source: the bucket of the images.
        predictor: the loaded model.
        output: where the Parquet parts are written.
        observer: is called with the number of images counted, and with each image that could not be fetched or read.

    Returns:
        the number of images and the time. Each image has one row, with a count or a reason.

    Raises:
        ReconcileError: the output cannot be written, or the listing failed.
        Interrupted: somebody asked this process to stop.
    """
    decoders = available_cores()
    free_buffers: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()
    with StageGroup() as stages:
        fetched = start_fetching(stages, source, images, check_size)
        batches: Channel[_Batch] = Channel(stages, 2 * predictor.workers, decoders)
        rows: Channel[list[dict[str, Any]]] = Channel(stages, 4 * predictor.workers, predictor.workers)
        stages.start("decode", decoders, lambda _: _decode(fetched, batches, predictor, free_buffers), batches)
        stages.start(
            "count", predictor.workers, lambda worker: _count(batches, rows, predictor, worker, free_buffers), rows
        )
        return write_rows(rows, output, f"counts/{predictor.model_id}", COUNTS_SCHEMA, observer)


def _decode(
    fetched: Channel[Fetched],
    batches: Channel[_Batch],
    predictor: CountPredictor,
    free_buffers: SimpleQueue[NDArray[np.uint8]],
) -> None:
    """Decode fetched images into batches, until no more come."""

    def new_batch() -> _Batch:
        try:
            return _Batch(free_buffers.get_nowait(), [], [])
        except Empty:  # a new buffer is needed only while all others are in use
            return _Batch(predictor.new_batch(), [], [])

    size, batch_size = predictor.card.input_size, predictor.batch_size
    batch = new_batch()
    for item in fetched:
        try:
            if item.error is not None:
                raise item.error
            photo = read_photo(item.data, size, out=batch.pixels[len(batch.images)])
            batch.images.append((item.stored, photo.facts))
        except (FetchError, UnreadableImage) as error:
            batch.unreadable.append((item.stored, str(error), isinstance(error, FetchError)))
        item.release()
        if len(batch.images) == batch_size or len(batch.unreadable) == batch_size:
            batches.put(batch)
            batch = new_batch()
    if batch.images or batch.unreadable:
        batches.put(batch)


def _count(
    batches: Channel[_Batch],
    rows: Channel[list[dict[str, Any]]],
    predictor: CountPredictor,
    worker: int,
    free_buffers: SimpleQueue[NDArray[np.uint8]],
) -> None:
    """Count batches into rows, until no more come."""
    labels = predictor.card.labels
    for batch in batches:
        now = datetime.now(UTC)
        batch_rows = [
            uncounted_row(stored.key, stored.etag, reason, try_again, now)
            for stored, reason, try_again in batch.unreadable
        ]
        if batch.images:
            probabilities = predictor.count(batch.pixels[: len(batch.images)], worker)
            for (stored, facts), probs in zip(batch.images, probabilities, strict=True):
                batch_rows.append(counted_row(stored.key, stored.etag, probs, labels, now, facts))
        free_buffers.put(batch.pixels)
        rows.put(batch_rows)
