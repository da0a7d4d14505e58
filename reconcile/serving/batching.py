"""One count model for all requests: what comes at the same time is counted together."""

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
from reconcile.images import load_image

if TYPE_CHECKING:
    from reconcile.inference.counter import CountPredictor


Probabilities = NDArray[np.float32]
"""float32 [labels]: the probability of each count label."""
_PATIENCE_SECONDS = 0.02
"""How long a batch waits for images that are being decoded: enough for usual ones, not for one of 100 megapixels."""


class _Waiting(NamedTuple):
    pixels: NDArray[np.uint8]
    counted: Future[Probabilities]


class DynamicBatcher:
    """Decodes and counts single images in batches.

    A worker that is free takes its share of the images that are there or being decoded: one that comes alone is counted
    at once, and many keep every worker busy.
    """

    def __init__(self, counter: CountPredictor) -> None:
        self.counter = counter
        self.images = self.batches = 0
        """What has been counted so far, and in how many batches."""
        self._decoders = ThreadPoolExecutor(available_cores(), "decode")
        self._waiting: deque[_Waiting] = deque()
        self._coming = 0
        self._changed = threading.Condition()
        for worker in range(counter.workers):
            Background(f"count-{worker}", self._work, worker)

    def count(self, data: bytes) -> Future[Probabilities]:
        """Count one image; returns at once.

        Returns:
            of its probabilities; or of UnreadableImage, or of what the model raised.
        """
        counted: Future[Probabilities] = Future()
        counted.set_running_or_notify_cancel()  # whoever waits may go; the others of its batch should not notice
        with self._changed:
            self._coming += 1
        self._decoders.submit(self._decode, data, counted)
        return counted

    def _decode(self, data: bytes, counted: Future[Probabilities]) -> None:
        try:
            pixels = load_image(data, self.counter.card.input_size)
        except BaseException as error:  # it belongs to whoever waits for the count
            with self._changed:
                self._coming -= 1
                self._changed.notify()
            counted.set_exception(error)
            return
        with self._changed:
            self._coming -= 1
            self._waiting.append(_Waiting(pixels, counted))
            self._changed.notify()

    def _work(self, worker: int) -> None:
        batch = self.counter.new_batch()
        while True:
            taken = self._take()
            for number, item in enumerate(taken):
                batch[number] = item.pixels
            try:
                shares = self.counter.count(batch[: len(taken)], worker)
            except Exception as error:  # onnxruntime raises a class of its own for each kind of trouble
                for item in taken:
                    item.counted.set_exception(error)
                continue
            with self._changed:
                self.images += len(taken)
                self.batches += 1
            for item, found in zip(taken, shares, strict=True):
                item.counted.set_result(found)

    def _take(self) -> list[_Waiting]:
        """Wait for images, and take one worker's share of them."""
        with self._changed:
            taken: list[_Waiting] = []
            while not taken:
                while not self._waiting:
                    self._changed.wait()
                until = time.monotonic() + _PATIENCE_SECONDS
                while len(self._waiting) < self._share() and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
                # Another worker may have taken them all meanwhile.
                taken = [self._waiting.popleft() for _ in range(min(self._share(), len(self._waiting)))]
            if self._waiting:
                self._changed.notify()
            return taken

    def _share(self) -> int:
        there = len(self._waiting) + self._coming
        return min(self.counter.batch_size, max(1, ceil(there / self.counter.workers)))
