"""How many bytes of images may be held at a time: whoever wants to hold more waits."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ByteBudget:
    """Room for so many bytes, given in the order in which it is asked for; to threads and to coroutines.

    What is larger than all of the room is given it when nobody else has any.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()
        self._lock = threading.Lock()

    def acquire(self, size: int) -> None:
        """Wait until there is room for `size` bytes, and take it."""
        self._ask(size).result()

    def release(self, size: int) -> None:
        """Of what was taken."""
        with self._lock:
            self._held -= size
        self._grant()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """The same for a coroutine, for as long as the context lasts."""
        asked = self._ask(size)
        try:
            await asyncio.wrap_future(asked)
            yield
        finally:
            if not asked.cancel():  # it had been granted
                self.release(size)
            else:
                self._grant()  # it may have stood before others

    def _ask(self, size: int) -> Future[None]:
        asked: Future[None] = Future()
        with self._lock:
            self._waiting.append((size, asked))
        self._grant()
        return asked

    def _grant(self) -> None:
        granted = []
        with self._lock:
            while self._waiting:
                size, asked = self._waiting[0]
                if not asked.cancelled():
                    if self._held and self._held + size > self._limit:
                        break
                    if asked.set_running_or_notify_cancel():
                        self._held += size
                        granted.append(asked)
                self._waiting.popleft()
        for asked in granted:
            asked.set_result(None)
