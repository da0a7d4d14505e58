"""Stage 1: list ahead and fetch objects, a bounded number at the same time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from reconcile.concurrency.byte_budget import ByteBudget
from reconcile.concurrency.channels import Channel
from reconcile.concurrency.cpu import available_cores, fetches_in_flight
from reconcile.images import UnreadableImage
from reconcile.inputs.key_columns import UNKNOWN_SIZE
from reconcile.inputs.records_json import InvalidRecord
from reconcile.storage.base import FetchError, StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.concurrency.channels import StageGroup
    from reconcile.inputs.backlog import Backlog
    from reconcile.storage.base import Bucket


_BYTES_PER_CORE = 32 * 2**20
"""The memory for fetched objects that are not read yet. It holds more usual photos than a core decodes in a second."""
_UNKNOWN_BYTES = 4 * 2**20
"""The size that is expected of the first objects whose sizes are not listed."""
_REMEMBERED_SIZES = 100
"""Later objects are expected to be as large as the largest of so many before them."""
LISTED_AHEAD = 2000
"""The largest number of listed objects that wait in memory to be fetched."""


class Fetched(NamedTuple):
    """The bytes of one object, or the error that replaced them."""

    stored: StoredObject
    data: bytes = b""
    error: FetchError | UnreadableImage | InvalidRecord | None = None
    budget: ByteBudget | None = None
    """The budget that holds the bytes until they are read."""

    def release(self) -> None:
        """Return the bytes to the budget, so that other objects can be fetched."""
        if self.budget is not None:
            self.budget.release(len(self.data))


def start_fetching(
    stages: StageGroup, source: Bucket, objects: Backlog, check_size: Callable[[int], None]
) -> Channel[Fetched]:
    """Start the threads that fetch objects.

    Args:
        stages: the group of the threads.
        source: the bucket of the objects.
        objects: the objects to fetch.
        check_size: called with the size of each object in bytes, as listed and again as the bucket states it, before
            the object is read. It raises UnreadableImage or InvalidRecord if the object is too large.

    Returns:
        the channel of the fetched objects, in any order. It holds a bounded number of them.
    """
    fetchers = fetches_in_flight()
    fetcher = _Fetcher(source, check_size)
    stages.on_stop(objects.stop)
    stages.on_stop(fetcher.budget.open)
    # Fetchers work in bursts: requests in groups cost client and server less, and leave the CPU caches to the model.
    listed: Channel[StoredObject] = Channel(stages, LISTED_AHEAD, 1, release_size=LISTED_AHEAD // 2)
    fetched: Channel[Fetched] = Channel(stages, 2 * fetchers, fetchers, release_size=max(fetchers // 2, 1))
    stages.start("list", 1, lambda _: _list(objects, listed), listed)
    stages.start("fetch", fetchers, lambda _: _fetch(fetcher, listed, fetched), fetched)
    return fetched


def _list(objects: Backlog, listed: Channel[StoredObject]) -> None:
    for stored in objects:
        listed.put(stored)


def _fetch(fetcher: _Fetcher, listed: Channel[StoredObject], fetched: Channel[Fetched]) -> None:
    for stored in listed:
        fetched.put(fetcher.fetch(stored))


class _Fetcher:
    """Fetches objects as long as their bytes fit into memory.

    Args:
        source: the bucket of the objects.
        check_size: called with the size of each object before it is fetched.
    """

    def __init__(self, source: Bucket, check_size: Callable[[int], None]) -> None:
        self.budget = ByteBudget(_BYTES_PER_CORE * available_cores())
        self._source, self._check_size = source, check_size
        self._sizes = deque([_UNKNOWN_BYTES], _REMEMBERED_SIZES)

    def fetch(self, stored: StoredObject) -> Fetched:
        """Wait until there is memory for an object, and fetch it."""
        expected = 0
        try:
            self._check_size(stored.size)
            expected = max(list(self._sizes)) if stored.size == UNKNOWN_SIZE else stored.size
            self.budget.acquire(expected)
            data = self._source.get(stored.key, stored.etag, self._check_size)
        except (FetchError, UnreadableImage, InvalidRecord) as error:
            self.budget.release(expected)
            return Fetched(stored, error=error)
        self.budget.add(len(data) - expected)  # the size may have been unknown or wrong
        if stored.size == UNKNOWN_SIZE:
            self._sizes.append(len(data))
        return Fetched(stored, data, budget=self.budget)
