"""A fair, weighted semaphore for bytes in memory."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class ByteBudget:
    """A budget of bytes that threads and coroutines share. Waiters get their bytes in the order of their requests.

    A request for more than the whole budget is granted when nobody else holds any bytes.

    Args:
        limit: the size of the budget, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._waiters: deque[tuple[int, Future[None]]] = deque()
        self._lock = threading.Lock()

    def acquire(self, size: int) -> None:
        """Wait until `size` bytes are free, and take them."""
        with self._lock:
            if not self._waiters and self._fits(size):
                self._held += size
                return
        self._enqueue(size).result()

    def release(self, size: int) -> None:
        """Return `size` bytes to the budget."""
        with self._lock:
            self._held -= size
        self._grant()

    def add(self, size: int) -> None:
        """Take `size` bytes without waiting, because they are in memory already. A negative size returns bytes."""
        with self._lock:
            self._held += size
        self._grant()

    def open(self) -> None:
        """Grant every request from now on, so that nobody waits any more."""
        with self._lock:
            self._limit = sys.maxsize
        self._grant()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Hold `size` bytes in a thread, until the end of the `with` block."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)

    @asynccontextmanager
    async def acquired(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes in a coroutine, until the end of the `with` block."""
        granted = self._enqueue(size)
        try:
            await asyncio.wrap_future(granted)
            yield
        finally:
            if not granted.cancel():  # the bytes were granted
                self.release(size)
            else:
                self._grant()  # the waiters behind may fit now

    def _enqueue(self, size: int) -> Future[None]:
        granted: Future[None] = Future()
        with self._lock:
            self._waiters.append((size, granted))
        self._grant()
        return granted

    def _grant(self) -> None:
        """Grant the bytes of the first waiters, as long as they fit. Drop waiters that were cancelled."""
        fulfilled = []
        with self._lock:
            while self._waiters:
                size, granted = self._waiters[0]
                if not granted.cancelled():
                    if not self._fits(size):
                        break
                    if granted.set_running_or_notify_cancel():
                        self._held += size
                        fulfilled.append(granted)
                self._waiters.popleft()
        for granted in fulfilled:
            granted.set_result(None)

    def _fits(self, size: int) -> bool:
        return not self._held or self._held + size <= self._limit
