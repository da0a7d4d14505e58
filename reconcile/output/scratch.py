"""Folders in which one run works: thrown away at its end, and by the next run where it was killed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from reconcile.errors import ReconcileError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator


_PREFIX = "reconcile-run-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "max_temp_directory_size")
"""What DuckDB says of a full disk; it gives no number."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A `held_folder` in the system's place for temporary files (TMPDIR), for DuckDB's tables and what it spills.

    Raises:
        ReconcileError: it cannot be made, or there is no room left in it; what DuckDB raises within is one, too.
    """
    with ExitStack() as ended:
        try:
            folder = ended.enter_context(locked_folder(Path(tempfile.gettempdir()), _PREFIX))
        except OSError as error:
            raise ReconcileError(f"no folder to work in: {error.strerror or error}; set TMPDIR to one") from None
        with _explaining(folder):
            yield folder


@contextmanager
def locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that goes at the end, and with it those of this prefix that killed runs left.

    The operating system lets go of a lock when its holder dies, however it dies: that is how a folder that a killed run
    left is told from one that is in use, on this machine or in another container of it.

    Raises:
        OSError: it cannot be made.
    """
    for left in parent.glob(f"{prefix}*"):
        _remove_if_left(left)
    made = Path(tempfile.mkdtemp(prefix="reconcile-new-", dir=parent))
    held = _lock(made)
    folder = made.rename(made.with_name(made.name.replace("reconcile-new-", prefix)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    """What DuckDB and the disk raise within is one line."""
    try:
        yield
    except (duckdb.Error, OSError, ReconcileError) as error:
        # A library that reads and writes may have been taken to fail at reading.
        cause = error.__context__ if isinstance(error, ReconcileError) else error
        if isinstance(error, ReconcileError) and not isinstance(cause, duckdb.Error):
            raise
        if cause is not None and _is_full(cause):
            raise ReconcileError(
                f"no room left in {folder.parent}, where a run keeps its tables while it works; "
                "free some, or set TMPDIR to a folder on a larger disk"
            ) from None
        if isinstance(error, duckdb.Error):
            detail = first_line(error)
            raise ReconcileError(f"DuckDB: {detail} (it works in {folder.parent})") from None
        raise


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)


def _lock(folder: Path) -> int:
    """The file descriptor that holds the lock.

    Raises:
        OSError: another process holds it, or the folder is none, or another user's.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        held = _lock(folder)
        try:
            if os.fstat(held).st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)
