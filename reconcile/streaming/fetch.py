"""Stage 1: list ahead and fetch objects, a bounded number at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reconcile.concurrency.channels import Channel
from reconcile.concurrency.cpu import fetches_in_flight
from reconcile.images import UnreadableImage
from reconcile.inputs.records_json import InvalidRecord
from reconcile.storage.base import FetchError, StoredObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.concurrency.channels import StageGroup
    from reconcile.inputs.backlog import Backlog
    from reconcile.storage.base import Bucket


LISTED_AHEAD = 2000
"""The largest number of listed objects that wait in memory to be fetched."""


class Fetched(NamedTuple):
    """The bytes of one object, or the error that replaced them."""

    stored: StoredObject
    data: bytes = b""
    error: FetchError | UnreadableImage | InvalidRecord | None = None


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
    stages.on_stop(objects.stop)
    # Fetchers work in bursts: requests in groups cost client and server less, and leave the CPU caches to the model.
    listed: Channel[StoredObject] = Channel(stages, LISTED_AHEAD, 1, release_size=LISTED_AHEAD // 2)
    fetched: Channel[Fetched] = Channel(stages, 2 * fetchers, fetchers, release_size=max(fetchers // 2, 1))
    stages.start("list", 1, lambda _: _list(objects, listed), listed)
    stages.start("fetch", fetchers, lambda _: _fetch(source, listed, fetched, check_size), fetched)
    return fetched


def _list(objects: Backlog, listed: Channel[StoredObject]) -> None:
    for stored in objects:
        listed.put(stored)


def _fetch(
    source: Bucket, listed: Channel[StoredObject], fetched: Channel[Fetched], check_size: Callable[[int], None]
) -> None:
    for stored in listed:
        try:
            check_size(stored.size)
            fetched.put(Fetched(stored, source.get(stored.key, stored.etag, check_size)))
        except (FetchError, UnreadableImage, InvalidRecord) as error:
            fetched.put(Fetched(stored, error=error))
