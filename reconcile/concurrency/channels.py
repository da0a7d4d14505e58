"""Bounded queues between pipeline stages. All stages end together, and the first error stops all of them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic

from reconcile.concurrency import cancellation
from reconcile.concurrency.background import Background, T

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PATIENCE_SECONDS = 5.0
"""The seconds that a stopped group waits for its threads. A thread that waits for S3 may need minutes and is
abandoned."""


class Stopped(Exception):
    """Another stage failed, or the run was interrupted. A stage that receives this ends its work."""


class _End:
    """The mark after the last item of a queue. It stays there for every consumer."""


_END: Final = _End()


class Channel(Generic[T]):
    """A queue of at most `capacity` items, with a fixed number of producers and any number of consumers.

    Two queues that are written in C hold the items and the free slots. A condition variable for all stages would cost
    more, because it wakes every waiting thread for every item.
    """

    def __init__(self, stages: StageGroup, capacity: int, producers: int, release_size: int = 1) -> None:
        """Create an empty channel.

        Args:
            stages: the group that stops this channel.
            capacity: the largest number of items in the queue.
            producers: the number of producers. The channel ends when all of them have ended.
            release_size: the number of slots that are freed together. Producers that are far ahead then work in bursts.
                With 1, every consumed item wakes one of them.
        """
        self._stages = stages
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._slots: SimpleQueue[_End | None] = SimpleQueue()
        for _ in range(capacity):
            self._slots.put(None)
        self._producers = producers
        self._release_size, self._freed = min(release_size, capacity), 0  # more slots than that are never free
        self._lock = threading.Lock()
        self.is_over = False
        """True after `get_nowait` has reached the end."""
        stages.on_stop(self._wake_all)

    def put(self, item: T) -> None:
        """Wait for a free slot, then add an item.

        Raises:
            Stopped: the group was stopped, so no consumer will read the item.
        """
        if self._slots.get() is _END or self._stages.stopped:
            self._slots.put(_END)
            raise Stopped
        self._items.put(item)

    def producer_ended(self) -> None:
        """Count one producer as ended. Each producer calls this once. After the last call, iteration ends."""
        with self._lock:
            self._producers -= 1
            if self._producers == 0:
                self._items.put(_END)

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items until every producer has ended.

        Raises:
            Stopped: the group was stopped.
            KeyboardInterrupt: somebody asked this process to stop.
        """
        while True:
            item = self._get()
            if self._stages.stopped:
                if not isinstance(item, _End):
                    self._items.put(item)  # `drain` returns it
                self._items.put(_END)
                raise Stopped
            if isinstance(item, _End):
                self._items.put(_END)
                return
            self._release_slot()
            yield item

    def get_nowait(self) -> T | None:
        """Return the next item without blocking, or None. When `is_over` is set, no item will follow."""
        try:
            item = self._items.get_nowait()
        except Empty:
            return None
        if isinstance(item, _End):
            self._items.put(_END)
            self.is_over = True
            return None
        self._release_slot()
        return item

    def _release_slot(self) -> None:
        with self._lock:
            self._freed += 1
            if self._freed < self._release_size:
                return
            self._freed = 0
        for _ in range(self._release_size):
            self._slots.put(None)

    def drain(self) -> list[T]:
        """Return the items that are in the queue, for a consumer that ends early and must not lose finished work."""
        items: list[T] = []
        with suppress(Empty):
            while True:
                item = self._items.get_nowait()
                if not isinstance(item, _End):
                    items.append(item)
        self._items.put(_END)
        return items

    def _get(self) -> T | _End:
        while True:
            try:
                return self._items.get(timeout=cancellation.POLL_SECONDS)
            except Empty:
                cancellation.raise_if_cancelled()

    def _wake_all(self) -> None:
        self._items.put(_END)
        self._slots.put(_END)


class StageGroup:
    """The threads of one pipeline. The first error stops all of them and is raised at the end of the `with` block."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._wake_ups: list[Callable[[], None]] = []

    def on_stop(self, wake_up: Callable[[], None]) -> None:
        """Register a function that wakes waiting stages. `stop` calls it."""
        self._wake_ups.append(wake_up)

    def start(self, name: str, workers: int, target: Callable[[int], None], output: Channel[T]) -> None:
        """Start the threads of one stage.

        Args:
            name: the stage's name, for the threads' names.
            workers: the number of threads.
            target: called in every thread with the thread's index.
            output: the channel that the threads put their items into.
        """
        for index in range(workers):
            self._threads.append(Background(f"{name}-{index}", self._run, target, index, output))

    def _run(self, target: Callable[[int], None], index: int, output: Channel[T]) -> None:
        try:
            target(index)
        except Stopped:
            pass
        except BaseException as error:  # any error: the main thread raises it
            self.stop(error)
        finally:
            output.producer_ended()

    def stop(self, error: BaseException | None = None) -> None:
        """Stop every stage. The first error that is passed here is raised at the end of the `with` block."""
        with self._lock:
            self.stopped = True
            self._error = self._error or error
        for wake_up in self._wake_ups:
            wake_up()

    def __enter__(self) -> StageGroup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Wait for the threads, at most `PATIENCE_SECONDS` in all, and raise the first error of a stage.

        Raises:
            BaseException: the first error of a stage, unless the `with` block already raises it.
        """
        if error is not None:
            self.stop(None if isinstance(error, Stopped) else error)
        until = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
        # If a stage and the `with` block were both interrupted, `error` has the number of rows that were kept.
        both_stopped = isinstance(self._error, KeyboardInterrupt) and isinstance(error, KeyboardInterrupt)
        if self._error is not None and self._error is not error and not both_stopped:
            raise self._error
