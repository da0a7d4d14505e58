"""Ctrl-C and SIGTERM: the wish to stop is remembered, since a library may swallow the exception that carries it."""

from __future__ import annotations

import signal
from typing import NoReturn

_requested = False


def listen() -> None:
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


def check() -> None:
    """Raise KeyboardInterrupt again where one was asked for; called by whoever waits for long."""
    if _requested:
        raise KeyboardInterrupt
