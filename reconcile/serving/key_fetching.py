"""Counts images that a request names by their keys: fetches them, and gives a row for each in the request's order."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile.concurrency.cpu import fetches_in_flight
from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, check_size
from reconcile.serving.byte_budget import ByteBudget
from reconcile.serving.requests import InvalidRequestLine
from reconcile.storage.base import Bucket, FetchError, S3Access
from reconcile.storage.open import open_bucket
from reconcile.streaming.count_rows import counted_row, uncounted_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.serving.batching import DynamicBatcher, Probabilities
    from reconcile.serving.requests import RequestLine


Row = dict[str, Any]
"""The columns of `store.COUNTS_SCHEMA`, and model_id."""
_AHEAD = 1024
"""Rows of a request that may wait for one before them: an image that S3 is slow with should not hold up the others."""
_IMAGE_BYTES = 512 * 2**20
"""Of images that are fetched and not yet counted; each fetch that is under way has one more image at most."""


class KeyCounter:
    """Fetches and counts, for all requests together.

    Args:
        shared: the model.
        access: how S3 is reached.
        bucket: where images lie whose line names no bucket; empty for nowhere.
        image_bytes: how much of images that are fetched and not yet counted is held.
    """

    def __init__(self, shared: DynamicBatcher, access: S3Access, bucket: str, image_bytes: int = _IMAGE_BYTES) -> None:
        self._shared, self._access, self._bucket = shared, access, bucket
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        self._fetchers = ThreadPoolExecutor(fetches_in_flight(), "fetch")
        # Images that are fetched and not yet counted: memory depends on no request's length. Their number is limited
        # for what small ones become when they are decoded.
        self._bytes = ByteBudget(image_bytes)
        self._room = threading.Semaphore(2 * shared.counter.workers * shared.counter.batch_size)

    def open_buckets(self, lines: Iterable[RequestLine]) -> None:
        """See that each line's bucket is known, before anything is fetched.

        Raises:
            BadLine: one names none, and the server has none of its own.
            ReconcileError: no such folder, or no credentials.
        """
        for number, line in enumerate(lines, 1):
            if not (line.bucket or self._bucket):
                raise InvalidRequestLine(f"line {number} names no bucket, and RECONCILE_BUCKET is not set")
            self._open(line.bucket or self._bucket)

    def rows(self, lines: Iterable[RequestLine]) -> Iterator[list[Row]]:
        """One row a line, in the same order, as soon as they are there.

        Raises:
            ReconcileError: S3 is down.
        """
        coming = iter(lines)
        waiting: deque[Future[Row]] = deque()
        try:
            while True:
                waiting.extend(self._start(line) for line in islice(coming, _AHEAD - len(waiting)))
                if not waiting:
                    return
                found = [waiting.popleft().result()]
                while waiting and waiting[0].done():
                    found.append(waiting.popleft().result())
                yield found
        except ReconcileError:
            # A bucket that has been given up for down refuses all that follows: the next request asks anew.
            with self._lock:
                self._buckets.clear()
            raise
        finally:
            for answer in waiting:
                answer.cancel()

    def _open(self, location: str) -> Bucket:
        with self._lock:
            if location not in self._buckets:
                self._buckets[location] = open_bucket(location, self._access)
            return self._buckets[location]

    def _start(self, line: RequestLine) -> Future[Row]:
        answer: Future[Row] = Future()
        self._fetchers.submit(self._fetch, line, answer)
        return answer

    def _fetch(self, line: RequestLine, answer: Future[Row]) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            if line.size is not None:
                check_size(line.size)
            data = self._open(line.bucket or self._bucket).get(line.key, line.etag)
        except (FetchError, UnreadableImage) as error:
            answer.set_result(self._uncounted(line, error))
        except BaseException as error:  # it belongs to whoever waits for the rows
            answer.set_exception(error)
        else:
            self._room.acquire()
            size = len(data)
            self._bytes.acquire(size)
            self._shared.count(data).add_done_callback(lambda counted: self._answer(line, size, counted, answer))

    def _answer(self, line: RequestLine, size: int, counted: Future[Probabilities], answer: Future[Row]) -> None:
        self._bytes.release(size)
        self._room.release()
        error = counted.exception()
        if error is None:
            row = counted_row(
                line.key, line.etag, counted.result(), self._shared.counter.card.labels, datetime.now(UTC)
            )
            answer.set_result(row | {"model_id": self._shared.counter.model_id})
        elif isinstance(error, UnreadableImage):
            answer.set_result(self._uncounted(line, error))
        else:
            answer.set_exception(error)

    def _uncounted(self, line: RequestLine, error: FetchError | UnreadableImage) -> Row:
        row = uncounted_row(line.key, line.etag, str(error), isinstance(error, FetchError), datetime.now(UTC))
        return row | {"model_id": self._shared.counter.model_id}
