"""The functions that run on the machines of the cluster: preprocess a block, and count a block."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reconcile import __version__
from reconcile.concurrency.cpu import FETCHES_PER_CORE
from reconcile.errors import ReconcileError
from reconcile.images import PhotoFacts, UnreadableImage, check_size, read_photo
from reconcile.inference.counter import load_predictor
from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket
from reconcile.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from reconcile.inference.counter import CountPredictor
    from reconcile.storage.base import Bucket, StoredObject


class TaskSpec(NamedTuple):
    """The settings that a machine needs to preprocess a block."""

    location: str
    """The bucket of the images."""
    access: S3Access
    size: int
    """S of the model's input, uint8 [N, S, S, 3]."""
    version: str
    """The version of reconcile on the machine that runs the command."""


class ImageFailure(NamedTuple):
    """An image that could not be fetched or read."""

    image_index: int
    """The index of the image in its block."""
    reason: str
    try_again: bool
    """True if the image could not be fetched; False if the image itself is unreadable."""


class PreparedBlock(NamedTuple):
    """The decoded images of a block.

    Failures are part of the same object. If the object is lost and computed again, other images may have failed.
    """

    pixels: NDArray[np.uint8]
    """uint8 [n, S, S, 3]: the images that did not fail, in the order of the block."""
    facts: list[PhotoFacts]
    """What else is known of these images."""
    failures: list[ImageFailure]


class CountedBlock(NamedTuple):
    """The counts of a block."""

    probabilities: NDArray[np.float32]
    """float32 [n, labels]: one row for each image that did not fail, in the order of the block."""
    facts: list[PhotoFacts]
    """What else is known of these images."""
    failures: list[ImageFailure]
    seconds: float
    """The time that counting took."""


def prepare(task: TaskSpec, block: Sequence[StoredObject]) -> tuple[PreparedBlock, str]:
    """Fetch and decode a block on one core, with as many concurrent requests per core as in a run without Ray.

    Returns:
        the images, and the id of the node that holds them.

    Raises:
        ReconcileError: this machine has another version of reconcile, has no credentials or does not see the folder;
            or S3 is down.
    """
    import ray

    _check_version(task.version)
    bucket = _bucket(task.location, task.access)
    pixels = np.empty((len(block), task.size, task.size, 3), dtype=np.uint8)
    facts: list[PhotoFacts] = []
    failures: list[ImageFailure] = []
    for index, fetched in enumerate(_fetched(bucket, block)):
        try:
            facts.append(read_photo(fetched.result(), task.size, out=pixels[len(facts)]).facts)
        except (FetchError, UnreadableImage) as error:
            failures.append(ImageFailure(index, str(error), isinstance(error, FetchError)))
    return PreparedBlock(pixels[: len(facts)], facts, failures), ray.get_runtime_context().get_node_id()


def _check_version(wanted: str) -> None:
    """Check the version of this machine, which may have joined after the run checked all machines."""
    import ray

    if __version__ != wanted:
        machine = ray.util.get_node_ip_address()
        raise ReconcileError(
            f"machine {machine} of the Ray cluster has reconcile {__version__}; install reconcile {wanted} on it, "
            "as on this machine"
        )


def _fetched(bucket: Bucket, block: Sequence[StoredObject]) -> Iterator[Future[bytes]]:
    """Fetch the images of a block in its order, a bounded number ahead of the decoder."""

    def fetch(stored: StoredObject) -> bytes:
        check_size(stored.size)
        return bucket.get(stored.key, stored.etag, check_size)

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
    """Open a bucket. The process keeps its connections from block to block."""
    return open_bucket(location, access)


class CountingActor:
    """A loaded model on one core, one GPU, or the fraction of a GPU that Ray gave to its process."""

    def __init__(self) -> None:
        self._predictor: CountPredictor | None = None
        self._free_workers: SimpleQueue[int] = SimpleQueue()

    def load(self, version: str, model: bytes, device: str, batch_size: int | None) -> str:
        """Load the model, and return the id of the node.

        Args:
            version: the version of reconcile on the machine that runs the command.
            model: the content of the ONNX file.
            device: `cpu`, `cuda` or `tensorrt`.
            batch_size: the number of images in one batch; None for the default of the device.

        Raises:
            ReconcileError: this machine has another version of reconcile, or the device or the model does not load.
        """
        import ray

        _check_version(version)
        with temporary_folder("reconcile-model-") as folder:
            path = folder / "model.onnx"
            path.write_bytes(model)
            self._predictor = load_predictor(path, device, lambda _: None, batch_size, cores=1)
        for worker in range(self._predictor.workers):
            self._free_workers.put(worker)
        node: str = ray.get_runtime_context().get_node_id()
        return node

    def count(self, prepared: PreparedBlock) -> CountedBlock:
        """Count a block. The model must be loaded.

        On a GPU, two threads call this at the same time: one batch is computed while the other is copied.
        """
        assert self._predictor is not None
        size, pixels = self._predictor.batch_size, prepared.pixels
        worker = self._free_workers.get()
        started = time.perf_counter()
        try:
            probs = [
                self._predictor.count(pixels[start : start + size], worker) for start in range(0, len(pixels), size)
            ]
        finally:
            self._free_workers.put(worker)
        seconds = time.perf_counter() - started
        labels = len(self._predictor.card.labels.names)
        probabilities = np.concatenate([np.empty((0, labels), np.float32), *probs])
        return CountedBlock(probabilities, prepared.facts, prepared.failures, seconds)
