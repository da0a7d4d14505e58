"""Threads that may be left behind when the process ends."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from reconcile.concurrency import cancellation

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


class Background(threading.Thread):
    """A thread that may wait for a request for longer than anybody waits for it; it ends with the process."""

    def __init__(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        super().__init__(target=work, args=arguments, name=name, daemon=True)
        self.start()


def any_running() -> bool:
    """Whether such a thread is still at work."""
    return any(isinstance(thread, Background) and thread.is_alive() for thread in threading.enumerate())


def run_in_background(work: Callable[[], T], grace_seconds: float) -> T:
    """Do `work` in another thread and wait for it: a library that waits for an answer hears no signal.

    A wish to stop that comes meanwhile is for the next `interruption.check` to hear, if the work was done in time.

    Args:
        work: what to do.
        grace_seconds: how long to go on waiting after somebody asked to stop.

    Raises:
        KeyboardInterrupt: somebody asked to stop, and `work` was left to itself.
        Exception: what `work` raised.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # it belongs to the thread that waits
            outcome.set_exception(error)

    Background("request", run)
    try:
        return cancellation.wait_for(outcome)
    except KeyboardInterrupt:
        if not wait([outcome], grace_seconds).done:
            raise
    return outcome.result()
