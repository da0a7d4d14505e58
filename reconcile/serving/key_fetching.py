"""Fetch and count the images that a request names by key."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile.concurrency.byte_budget import ByteBudget
from reconcile.concurrency.cpu import fetches_in_flight
from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, check_size
from reconcile.serving.bucket_access import ForbiddenKey
from reconcile.serving.requests import InvalidRequestLine
from reconcile.serving.responses import without_file_content
from reconcile.storage.base import Bucket, FetchError, S3Access
from reconcile.storage.open import open_bucket
from reconcile.streaming.count_rows import counted_row, uncounted_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.serving.batching import CountedImage, DynamicBatcher
    from reconcile.serving.bucket_access import AllowedBuckets
    from reconcile.serving.requests import RequestLine


Row = dict[str, Any]
"""The columns of `schemas.COUNTS_SCHEMA`, and `model_id`."""
_ROWS_AHEAD = 1024
"""The rows of a request that may wait for an earlier row. So one slow image does not hold up the others."""
_IMAGE_BYTES = 512 * 2**20
"""The total size of fetched images that are not yet counted. Each fetch in progress holds at most one image more."""


class KeyCounter:
    """The fetchers of all requests, and the model that counts what they fetch.

    Args:
        batcher: the model.
        access: how to reach S3.
        buckets: the buckets that lines may name.
        image_bytes: the total size of fetched images that are not yet counted, in bytes.
    """

    def __init__(
        self, batcher: DynamicBatcher, access: S3Access, buckets: AllowedBuckets, image_bytes: int = _IMAGE_BYTES
    ) -> None:
        self._batcher, self._access, self._allowed = batcher, access, buckets
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        self._fetchers = ThreadPoolExecutor(fetches_in_flight(), "fetch")
        # Both limits apply to fetched images that are not yet counted, so memory does not grow with the length of a
        # request. The number is limited too, because a small file can become a large array when it is decoded.
        self._byte_budget = ByteBudget(image_bytes)
        self._slots = threading.Semaphore(2 * batcher.predictor.workers * batcher.predictor.batch_size)

    def open_buckets(self, lines: Iterable[RequestLine]) -> None:
        """Open the bucket of every line, before anything is fetched.

        Raises:
            InvalidRequestLine: a line names no bucket, and the server has no bucket of its own.
            ForbiddenBucket: a line names a bucket that is not allowed.
            ReconcileError: a folder does not exist, or there are no credentials.
        """
        for number, line in enumerate(lines, 1):
            try:
                bucket = self._allowed.check(line.bucket)
            except InvalidRequestLine as error:
                raise type(error)(f"line {number}: {error}") from None
            self._open(bucket)

    def rows(self, lines: Iterable[RequestLine]) -> Iterator[list[Row]]:
        """Yield one row per line, in the order of the lines, as soon as they are ready.

        Raises:
            ReconcileError: S3 is down.
        """
        remaining = iter(lines)
        pending: deque[Future[Row]] = deque()
        try:
            while True:
                pending.extend(self._start(line) for line in islice(remaining, _ROWS_AHEAD - len(pending)))
                if not pending:
                    return
                ready = [pending.popleft().result()]
                while pending and pending[0].done():
                    ready.append(pending.popleft().result())
                yield ready
        except ReconcileError:
            # A bucket whose circuit is open refuses every request. A new one lets the next request try S3 again.
            with self._lock:
                self._buckets.clear()
            raise
        finally:
            for row in pending:
                row.cancel()

    def _open(self, location: str) -> Bucket:
        with self._lock:
            if location not in self._buckets:
                self._buckets[location] = open_bucket(location, self._access)
            return self._buckets[location]

    def _start(self, line: RequestLine) -> Future[Row]:
        row: Future[Row] = Future()
        self._fetchers.submit(self._fetch, line, row)
        return row

    def _fetch(self, line: RequestLine, row: Future[Row]) -> None:
        """Fetch the image of a line, and hand it to the batcher when there is room."""
        if not row.set_running_or_notify_cancel():
            return
        try:
            if line.size is not None:
                check_size(line.size)
            location = self._allowed.locate(line.bucket, line.key)
            data = self._open(location.bucket).get(location.key, line.etag, check_size)
        except (FetchError, ForbiddenKey, UnreadableImage) as error:
            row.set_result(self._uncounted(line, error))
        except BaseException as error:  # the thread that waits for the row raises it
            row.set_exception(error)
        else:
            self._slots.acquire()
            size = len(data)
            self._byte_budget.acquire(size)
            self._batcher.count(data).add_done_callback(lambda result: self._finish(line, size, result, row))

    def _finish(self, line: RequestLine, size: int, result: Future[CountedImage], row: Future[Row]) -> None:
        """Set the row of a line whose image was counted or could not be read."""
        self._byte_budget.release(size)
        self._slots.release()
        predictor = self._batcher.predictor
        error = result.exception()
        if error is None:
            image, labels = result.result(), predictor.card.labels
            counted = counted_row(line.key, line.etag, image.probabilities, labels, datetime.now(UTC), image.facts)
            row.set_result(counted | {"model_id": predictor.model_id})
        elif isinstance(error, UnreadableImage):
            row.set_result(self._uncounted(line, error))
        else:
            row.set_exception(error)

    def _uncounted(self, line: RequestLine, error: FetchError | ForbiddenKey | UnreadableImage) -> Row:
        reason = without_file_content(str(error))
        row = uncounted_row(line.key, line.etag, reason, isinstance(error, FetchError), datetime.now(UTC))
        return row | {"model_id": self._batcher.predictor.model_id}
