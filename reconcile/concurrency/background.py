"""Daemon threads that may be abandoned at exit."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from reconcile.concurrency import cancellation

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")


class Background(threading.Thread):
    """A started daemon thread. A request that hangs in it does not keep the process from ending."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        super().__init__(target=target, args=arguments, name=name, daemon=True)
        self.start()


def any_running() -> bool:
    """Return whether any background thread is still running."""
    return any(isinstance(thread, Background) and thread.is_alive() for thread in threading.enumerate())


def run_in_background(function: Callable[[], T], grace_seconds: float) -> T:
    """Call a function in another thread and wait for it.

    A library that waits for a response does not notice signals, so the waiting thread checks for them.

    If somebody asks this process to stop and the function still finishes in time, its result is returned. The next
    `cancellation.raise_if_cancelled` then raises KeyboardInterrupt.

    Args:
        function: the function to call.
        grace_seconds: how many seconds to keep waiting after somebody asked this process to stop.

    Returns:
        what the function returned.

    Raises:
        KeyboardInterrupt: somebody asked this process to stop. The function was left running in its thread.
        Exception: the exception of the function.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # the waiting thread raises it
            outcome.set_exception(error)

    Background("request", run)
    try:
        return cancellation.wait_for(outcome)
    except KeyboardInterrupt:
        if not wait([outcome], grace_seconds).done:
            raise
    return outcome.result()
