"""Ctrl-C and SIGTERM: the wish to stop is remembered, since a library may swallow the exception that carries it."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future


POLL_SECONDS = 0.5
"""The longest time that a waiting thread goes without a check whether somebody asked this process to stop."""
T = TypeVar("T")
_requested = _urgent = False


class Interrupted(KeyboardInterrupt):
    """A stage was asked to stop, and has written what it had done."""

    def __init__(self, kept: int) -> None:
        super().__init__(f"{kept} kept")
        self.kept = kept
        """How many objects it got done and written."""


def install_handlers() -> None:
    """Take both signals as a KeyboardInterrupt in the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _request)


def _request(*_: object) -> NoReturn:
    global _requested
    _requested = True
    raise KeyboardInterrupt


def is_requested() -> bool:
    """Whether somebody asked this process to stop."""
    return _requested


def is_forced() -> bool:
    """Whether somebody asked a second time, by Ctrl-C."""
    return _urgent


def request() -> None:
    """Stop the main thread as Ctrl-C does; called by another thread that knows a reason to."""
    if not _requested:  # a second signal would stop at once
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def reset() -> None:
    """Forget the wish: it was `request` that had it, and whoever called that tells why."""
    global _requested
    _requested = False


def raise_if_cancelled() -> None:
    """Raise KeyboardInterrupt again where one was asked for; called by whoever waits for long."""
    if _requested:
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Sleep, and wake up as soon as somebody asks this process to stop.

    Raises:
        KeyboardInterrupt: somebody asked this process to stop.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        raise_if_cancelled()
        time.sleep(min(left, POLL_SECONDS))


def wait_for(future: Future[T]) -> T:
    """Return the result of a future, or stop waiting as soon as somebody asks this process to stop.

    Raises:
        KeyboardInterrupt: somebody asked this process to stop.
        Exception: the exception of the future.
    """
    while not wait([future], POLL_SECONDS).done:
        raise_if_cancelled()
    return future.result()


@contextmanager
def deferred() -> Iterator[None]:
    """Within, a signal is only remembered, for a caller who asks when it suits; a second Ctrl-C stops at once.

    A second SIGTERM does not: whoever starts several processes may pass it on twice. In another thread than the main
    one there is nothing to postpone: signals never come there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _: object) -> None:
        global _requested, _urgent
        if _requested and number == signal.SIGINT:
            _urgent = True
            raise KeyboardInterrupt
        _requested = True

    for number in before:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
