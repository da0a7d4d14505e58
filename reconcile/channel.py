"""Bounded queues between stages that run in threads of their own, and end, or fail, together."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from reconcile import interruption

_LOOK_UP_SECONDS = 0.5
T = TypeVar("T")


class Stopped(Exception):
    """Another stage has failed, or the run was interrupted: put down the work."""


class Channel(Generic[T]):
    """A queue of at most `capacity` items from some producers to any number of consumers."""

    def __init__(self, stages: Stages, capacity: int, producers: int) -> None:
        self._stages = stages
        self._capacity = capacity
        self._producers = producers
        self._items: deque[T] = deque()

    def put(self, item: T) -> None:
        """Wait for room, then add.

        Raises:
            Stopped: nobody will take it any more.
        """
        with self._stages.changed:
            while len(self._items) >= self._capacity and not self._stages.stopped:
                self._stages.changed.wait()
            if self._stages.stopped:
                raise Stopped
            self._items.append(item)
            self._stages.changed.notify_all()

    def producer_ended(self) -> None:
        """Called once by each producer; after the last, iteration ends."""
        with self._stages.changed:
            self._producers -= 1
            self._stages.changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """The items, until every producer has ended.

        Raises:
            Stopped: a stage has failed.
        """
        while True:
            with self._stages.changed:
                while not self._items and self._producers > 0 and not self._stages.stopped:
                    interruption.check()
                    self._stages.changed.wait(_LOOK_UP_SECONDS)
                if self._stages.stopped:
                    raise Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._stages.changed.notify_all()
            yield item

    def left(self) -> list[T]:
        """The items that are there already, for whoever ends early and wants nothing that was done to be lost."""
        with self._stages.changed:
            items = list(self._items)
            self._items.clear()
            return items


class Stages:
    """The threads of one pipeline. The first error stops all of them and is raised again where `with` ends."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stopped = False
        self._error: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._wake_ups: list[Callable[[], None]] = []

    def on_stop(self, wake_up: Callable[[], None]) -> None:
        """Have `wake_up` called where a stage waits for something else than a channel."""
        self._wake_ups.append(wake_up)

    def start(self, name: str, workers: int, work: Callable[[int], None], feeds: Channel[T]) -> None:
        """Run `work` in `workers` threads that feed one channel; each is told its number."""
        for number in range(workers):
            thread = threading.Thread(
                target=self._run, args=(work, number, feeds), name=f"{name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

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
        with self.changed:
            self.stopped = True
            self._error = self._error or error
            self.changed.notify_all()
        for wake_up in self._wake_ups:
            wake_up()

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None:
            self.stop()
        for thread in self._threads:
            thread.join()
        if self._error is not None and (error is None or isinstance(error, Stopped)):
            raise self._error
