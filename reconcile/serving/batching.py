"""Dynamic batching: images of requests that arrive together are counted together."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reconcile.concurrency.background import Background
from reconcile.concurrency.cpu import available_cores
from reconcile.images import Photo, PhotoFacts, read_photo

if TYPE_CHECKING:
    from reconcile.inference.counter import CountPredictor


Probabilities = NDArray[np.float32]
"""float32 [labels]: the probability of each count label."""
_BATCH_WAIT_SECONDS = 0.02
"""The seconds that a batch waits for images being decoded: enough for usual images, not for 100 megapixels."""


class CountedImage(NamedTuple):
    """The result for one image."""

    probabilities: Probabilities
    facts: PhotoFacts


class _DecodedImage(NamedTuple):
    photo: Photo
    result: Future[CountedImage]


class DynamicBatcher:
    """A decoder and counter of single images that builds batches across requests.

    A free worker takes an equal part of the images that are decoded or being decoded. So a single image is counted
    immediately, and many images keep every worker busy.
    """

    def __init__(self, predictor: CountPredictor) -> None:
        self.predictor = predictor
        self.images = self.batches = 0
        """The number of images that were counted, and of batches they were counted in."""
        self._decoders = ThreadPoolExecutor(available_cores(), "decode")
        self._decoded: deque[_DecodedImage] = deque()
        self._decoding = 0
        self._changed = threading.Condition()
        for worker in range(predictor.workers):
            Background(f"count-{worker}", self._work, worker)

    def count(self, data: bytes) -> Future[CountedImage]:
        """Count one image in the background.

        Args:
            data: the bytes of the image file.

        Returns:
            the future count. The future raises UnreadableImage, or the error of the model.
        """
        result: Future[CountedImage] = Future()
        result.set_running_or_notify_cancel()  # a client that leaves must not affect the others in its batch
        with self._changed:
            self._decoding += 1
        self._decoders.submit(self._decode, data, result)
        return result

    def _decode(self, data: bytes, result: Future[CountedImage]) -> None:
        try:
            photo = read_photo(data, self.predictor.card.input_size)
        except BaseException as error:  # the thread that waits for the result raises it
            with self._changed:
                self._decoding -= 1
                self._changed.notify()
            result.set_exception(error)
            return
        with self._changed:
            self._decoding -= 1
            self._decoded.append(_DecodedImage(photo, result))
            self._changed.notify()

    def _work(self, worker: int) -> None:
        """Count batches until the process ends."""
        buffer = self.predictor.new_batch()
        while True:
            batch = self._next_batch()
            for index, item in enumerate(batch):
                buffer[index] = item.photo.pixels
            try:
                probabilities = self.predictor.count(buffer[: len(batch)], worker)
            except Exception as error:  # onnxruntime has its own class for each kind of error
                for item in batch:
                    item.result.set_exception(error)
                continue
            with self._changed:
                self.images += len(batch)
                self.batches += 1
            for item, probs in zip(batch, probabilities, strict=True):
                item.result.set_result(CountedImage(probs, item.photo.facts))

    def _next_batch(self) -> list[_DecodedImage]:
        """Wait for images, and return the part of one worker."""
        with self._changed:
            batch: list[_DecodedImage] = []
            while not batch:
                while not self._decoded:
                    self._changed.wait()
                deadline = time.monotonic() + _BATCH_WAIT_SECONDS
                while len(self._decoded) < self._fair_size() and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                # Another worker may have taken all images meanwhile.
                batch = [self._decoded.popleft() for _ in range(min(self._fair_size(), len(self._decoded)))]
            if self._decoded:
                self._changed.notify()
            return batch

    def _fair_size(self) -> int:
        """Return the number of images for one worker. All workers get about the same number."""
        images = len(self._decoded) + self._decoding
        return min(self.predictor.batch_size, max(1, ceil(images / self.predictor.workers)))
