"""The first two stages of whatever is read from a bucket: objects that wait, and their bytes."""

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


class Fetched(NamedTuple):
    """One object's bytes, or why they could not be had."""

    stored: StoredObject
    data: bytes = b""
    error: FetchError | UnreadableImage | InvalidRecord | None = None


def start_fetching(
    stages: StageGroup, bucket: Bucket, objects: Backlog, check: Callable[[int], None]
) -> Channel[Fetched]:
    """Start the threads that fetch.

    Args:
        stages: which they belong to.
        bucket: where the objects lie.
        objects: which; they come in any order.
        check: called with each one's size in bytes, before it is asked for; raises what is wrong with it.

    Returns:
        where they come, a bounded number ahead of whoever takes them.
    """
    fetchers = fetches_in_flight()
    stages.on_stop(objects.stop)
    # In bursts: requests that are made together cost us and the server less, and caches are the model's meanwhile.
    listed: Channel[StoredObject] = Channel(stages, LISTED_AHEAD, 1, lot=LISTED_AHEAD // 2)
    fetched: Channel[Fetched] = Channel(stages, 2 * fetchers, fetchers, lot=max(fetchers // 2, 1))
    stages.start("list", 1, lambda _: _list(objects, listed), listed)
    stages.start("fetch", fetchers, lambda _: _fetch(bucket, listed, fetched, check), fetched)
    return fetched


def _list(objects: Backlog, listed: Channel[StoredObject]) -> None:
    for stored in objects:
        listed.put(stored)


def _fetch(
    bucket: Bucket, listed: Channel[StoredObject], fetched: Channel[Fetched], check: Callable[[int], None]
) -> None:
    for stored in listed:
        try:
            check(stored.size)
            fetched.put(Fetched(stored, bucket.get(stored.key, stored.etag)))
        except (FetchError, UnreadableImage, InvalidRecord) as error:
            fetched.put(Fetched(stored, error=error))
