"""What the machines of a Ray cluster do: fetch and decode a block of images, count one."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reconcile import __version__
from reconcile.concurrency.cpu import FETCHES_PER_CORE
from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, check_size, load_image
from reconcile.inference.counter import load_predictor
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from reconcile.inference.counter import CountPredictor
    from reconcile.storage.base import Bucket, StoredObject


class Source(NamedTuple):
    """Where images lie, and what is made of them: all that a machine has to be told."""

    location: str
    access: S3Access
    size: int
    """S of the model's input uint8 [N, S, S, 3]."""
    version: str
    """Of reconcile, where the run was started."""


class Failure(NamedTuple):
    """An image that could not be had or read."""

    image_index: int
    """In its block."""
    reason: str
    try_again: bool


class Prepared(NamedTuple):
    """A block's images, decoded.

    What failed is told in the same object: if that is lost and made again elsewhere, other images may have failed.
    """

    pixels: NDArray[np.uint8]
    """[n, S, S, 3]: those that did not fail, in the block's order."""
    failures: list[Failure]


class Counted(NamedTuple):
    """What became of a block."""

    probabilities: NDArray[np.float32]
    """[n, labels]: of those that did not fail."""
    failures: list[Failure]
    seconds: float
    """How long counting took."""


def prepare(source: Source, block: Sequence[StoredObject]) -> tuple[Prepared, str]:
    """Fetch and decode; one core's work, with as many requests on their way as in a run without Ray.

    Returns:
        the images; and the id of the node that holds them.

    Raises:
        ReconcileError: this machine has another reconcile, no credentials, does not see the folder, or S3 is down.
    """
    import ray

    _check_version(source.version)
    bucket = _bucket(source.location, source.access)
    pixels = np.empty((len(block), source.size, source.size, 3), dtype=np.uint8)
    number, failures = 0, []
    for place, fetched in enumerate(_fetched(bucket, block)):
        try:
            load_image(fetched.result(), source.size, out=pixels[number])
            number += 1
        except (FetchError, UnreadableImage) as error:
            failures.append(Failure(place, str(error), isinstance(error, FetchError)))
    return Prepared(pixels[:number], failures), ray.get_runtime_context().get_node_id()


def _check_version(wanted: str) -> None:
    """A machine may have joined after the run had asked all of them."""
    import ray

    if __version__ != wanted:
        machine = ray.util.get_node_ip_address()
        raise ReconcileError(
            f"Ray's machine {machine} has reconcile {__version__}; it needs reconcile {wanted}, as here"
        )


def _fetched(bucket: Bucket, block: Sequence[StoredObject]) -> Iterator[Future[bytes]]:
    """In the block's order, and never far ahead of whoever decodes."""

    def fetch(stored: StoredObject) -> bytes:
        check_size(stored.size)
        return bucket.get(stored.key, stored.etag)

    ahead: deque[Future[bytes]] = deque()
    for stored in block:
        ahead.append(_fetchers().submit(fetch, stored))
        if len(ahead) == 2 * FETCHES_PER_CORE:
            yield ahead.popleft()
    yield from ahead


@cache
def _fetchers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(FETCHES_PER_CORE)


@cache
def _bucket(location: str, access: S3Access) -> Bucket:
    """A process keeps its connections from block to block."""
    return open_bucket(location, access)


class CountingActor:
    """Holds a loaded model: on one core, or on the GPU, or the share of it, that Ray gave to its process."""

    def __init__(self) -> None:
        self._counter: CountPredictor | None = None
        self._free: SimpleQueue[int] = SimpleQueue()

    def load(self, version: str, model: bytes, device: str, batch_size: int | None) -> str:
        """Load the model, and say on which node.

        Raises:
            ReconcileError: this machine has not this version of reconcile, or cannot load the device or the model.
        """
        import ray

        _check_version(version)
        with tempfile.TemporaryDirectory(prefix="reconcile-model-") as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(model)
            self._counter = load_predictor(path, device, lambda _: None, batch_size, cores=1)
        for worker in range(self._counter.workers):
            self._free.put(worker)
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def count(self, prepared: Prepared) -> Counted:
        """Count a block. On a GPU several threads call this at once: one's batch is computed while another's is copied.

        Raises:
            ReconcileError: the model is not loaded.
        """
        assert self._counter is not None
        size, pixels = self._counter.batch_size, prepared.pixels
        worker = self._free.get()
        started = time.perf_counter()
        try:
            shares = [
                self._counter.count(pixels[start : start + size], worker) for start in range(0, len(pixels), size)
            ]
        finally:
            self._free.put(worker)
        seconds = time.perf_counter() - started
        labels = len(self._counter.card.labels.names)
        return Counted(np.concatenate([np.empty((0, labels), np.float32), *shares]), prepared.failures, seconds)
