"""Graceful shutdown on SIGINT and SIGTERM.

The request to stop is remembered, because a library may swallow the exception that announces it.
"""

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
"""The seconds between two checks of a waiting thread whether somebody asked this process to stop."""
T = TypeVar("T")
_requested = _forced = False


class Interrupted(KeyboardInterrupt):
    """A stage was asked to stop, and it has written its finished rows.

    Args:
        kept: the number of objects whose rows were written.
    """

    def __init__(self, kept: int) -> None:
        super().__init__(f"{kept} kept")
        self.kept = kept


def install_handlers() -> None:
    """Raise KeyboardInterrupt in the main thread on SIGINT and on SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle_signal)


def _handle_signal(*_: object) -> NoReturn:
    global _requested
    _requested = True
    raise KeyboardInterrupt


def is_requested() -> bool:
    """Return whether somebody asked this process to stop."""
    return _requested


def is_forced() -> bool:
    """Return whether somebody pressed Ctrl-C a second time."""
    return _forced


def request() -> None:
    """Stop the main thread as Ctrl-C does. Call this from another thread, if the work must not go on."""
    if not _requested:  # a second signal would raise immediately
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def reset() -> None:
    """Forget a request to stop that came from `request`. Its caller reports the reason."""
    global _requested
    _requested = False


def raise_if_cancelled() -> None:
    """Raise KeyboardInterrupt if somebody asked this process to stop. Call this before and during long waits.

    Raises:
        KeyboardInterrupt: somebody asked this process to stop.
    """
    if _requested:
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Sleep, and wake up as soon as somebody asks this process to stop.

    Raises:
        KeyboardInterrupt: somebody asked this process to stop.
    """
    until = time.monotonic() + seconds
    while (remaining := until - time.monotonic()) > 0:
        raise_if_cancelled()
        time.sleep(min(remaining, POLL_SECONDS))


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
    """Remember signals inside this context, without raising. The caller checks `is_requested` when it can stop.

    A second Ctrl-C raises immediately. A second SIGTERM does not, because a supervisor of several processes may pass it
    on twice. In other threads than the main thread this context changes nothing, because signals never arrive there.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C a second time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _: object) -> None:
        global _requested, _forced
        if _requested and number == signal.SIGINT:
            _forced = True
            raise KeyboardInterrupt
        _requested = True

    for number in previous:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
