"""Observers of a stage, which are called with the number of finished objects and with each failed object."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.logs import RunLog, Workload


class CountObserver(Protocol):
    """The observer of photos that are counted, or of records that are read. One thread makes all calls."""

    def advance(self, photos: int, /) -> None:
        """Record that `photos` more photos (or records) are done, including those that failed."""

    def failed(self, key: str, reason: str, /) -> None:
        """Record that the photo (or record) with this key could not be fetched or read, with the reason."""

    def noted(self, key: str, note: str, /) -> None:
        """Record that the photo with this key was counted, although something about it is odd."""


@dataclass(frozen=True)
class CallbackObserver:
    """An observer that calls two functions."""

    advance: Callable[[int], None]
    """Called with the number of objects that are done since the last call."""
    failed: Callable[[str, str], None]
    """Called with the key and the reason of each object that failed."""
    noted: Callable[[str, str], None] = lambda _key, _note: None
    """Called with the key and the note of each photo that is odd."""


@contextmanager
def log_stage(log: RunLog, doing: str, workload: Workload, objects: str, stage: str) -> Iterator[CountObserver]:
    """Log the progress of a stage, each object that fails, and each photo that is odd.

    Args:
        log: the log of the run.
        doing: the work of the stage, such as "counting".
        workload: the number of objects to process.
        objects: the name of the objects, in the plural.
        stage: the name of the stage in the fields of the log.

    Yields:
        the observer to hand to the stage.
    """
    with (
        log.failures(objects, stage) as failed,
        log.notes(objects, stage) as noted,
        log.progress(doing, workload, stage=stage) as advance,
    ):
        yield CallbackObserver(advance, failed, noted)
