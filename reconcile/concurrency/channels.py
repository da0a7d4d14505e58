"""Bounded queues between stages that run in threads of their own, and end, or fail, together."""

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
"""How long stages that were stopped may take to put down their work. One that waits for S3 may take minutes."""


class Stopped(Exception):
    """Another stage has failed, or the run was interrupted: put down the work."""


class _End:
    """Stands in a queue behind its last item, and stays there for every consumer."""


_END: Final = _End()


class Channel(Generic[T]):
    """A queue of at most `capacity` items from some producers to any number of consumers.

    It is made of two queues that are written in C, one for the items and one for the free places. A condition variable
    for all stages, told of every item, cost more time than fetching did: each call woke every thread that waited.
    """

    def __init__(self, stages: StageGroup, capacity: int, producers: int, lot: int = 1) -> None:
        """Nothing is in it yet.

        Args:
            stages: that it joins.
            capacity: items that wait in it at most.
            producers: who end it when all of them have ended.
            lot: so many places become free at a time. Producers that are far ahead then work in
                bursts, where one of them would be woken for every item that is taken.
        """
        self._stages = stages
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[_End | None] = SimpleQueue()
        for _ in range(capacity):
            self._room.put(None)
        self._producers = producers
        self._lot, self._freed = min(lot, capacity), 0  # more would never come together
        self._lock = threading.Lock()
        self.is_over = False
        """Whether `nowait` came to the end."""
        stages.on_stop(self._wake_all)

    def put(self, item: T) -> None:
        """Wait for room, then add.

        Raises:
            Stopped: nobody will take it any more.
        """
        if self._room.get() is _END or self._stages.stopped:
            self._room.put(_END)
            raise Stopped
        self._items.put(item)

    def producer_ended(self) -> None:
        """Called once by each producer; after the last, iteration ends."""
        with self._lock:
            self._producers -= 1
            if self._producers == 0:
                self._items.put(_END)

    def __iter__(self) -> Iterator[T]:
        """The items, until every producer has ended.

        Raises:
            Stopped: a stage has failed.
        """
        while True:
            item = self._take()
            if self._stages.stopped:
                if not isinstance(item, _End):
                    self._items.put(item)  # for whoever asks what is `left`
                self._items.put(_END)
                raise Stopped
            if isinstance(item, _End):
                self._items.put(_END)
                return
            self._release_slot()
            yield item

    def get_nowait(self) -> T | None:
        """An item, for whoever waits for other things too; None where none is there, or, if it `is_over`, comes."""
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
            if self._freed < self._lot:
                return
            self._freed = 0
        for _ in range(self._lot):
            self._room.put(None)

    def drain(self) -> list[T]:
        """The items that are there already, for whoever ends early and wants nothing that was done to be lost."""
        items: list[T] = []
        with suppress(Empty):
            while True:
                item = self._items.get_nowait()
                if not isinstance(item, _End):
                    items.append(item)
        self._items.put(_END)
        return items

    def _take(self) -> T | _End:
        while True:
            try:
                return self._items.get(timeout=cancellation.POLL_SECONDS)
            except Empty:
                cancellation.raise_if_cancelled()

    def _wake_all(self) -> None:
        self._items.put(_END)
        self._room.put(_END)


class StageGroup:
    """The threads of one pipeline. The first error stops all of them and is raised again where `with` ends."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._wake_ups: list[Callable[[], None]] = []

    def on_stop(self, wake_up: Callable[[], None]) -> None:
        """Have `wake_up` called where a stage waits for something."""
        self._wake_ups.append(wake_up)

    def start(self, name: str, workers: int, work: Callable[[int], None], feeds: Channel[T]) -> None:
        """Run `work` in `workers` threads that feed one channel; each is told its number."""
        for number in range(workers):
            self._threads.append(Background(f"{name}-{number}", self._run, work, number, feeds))

    def _run(self, work: Callable[[int], None], number: int, feeds: Channel[T]) -> None:
        try:
            work(number)
        except Stopped:
            pass
        except BaseException as error:  # whatever it is, the main thread has to hear of it
            self.stop(error)
        finally:
            feeds.producer_ended()

    def stop(self, error: BaseException | None = None) -> None:
        """Make every stage put down its work."""
        with self._lock:
            self.stopped = True
            self._error = self._error or error
        for wake_up in self._wake_ups:
            wake_up()

    def __enter__(self) -> StageGroup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            self.stop(None if isinstance(error, Stopped) else error)
        # Whoever waits for a request is left to it.
        until = time.monotonic() + PATIENCE_SECONDS
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
        both_stopped = isinstance(self._error, KeyboardInterrupt) and isinstance(error, KeyboardInterrupt)
        if self._error is not None and self._error is not error and not both_stopped:  # `error` knows what was done
            raise self._error
