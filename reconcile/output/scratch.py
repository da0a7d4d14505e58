"""Scratch folders that are removed even after a crash, by the next run."""

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
from reconcile.temporary import temporary_parent

if TYPE_CHECKING:
    from collections.abc import Iterator


_RUN_PREFIX = "reconcile-run-"
_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
_DISK_FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "max_temp_directory_size")
"""Texts by which DuckDB reports a full disk. Its errors have no number."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Provide a scratch folder in the system's temporary folder (TMPDIR), for DuckDB's tables and spilled data.

    Raises:
        ReconcileError: the folder cannot be created, its disk is full, or DuckDB failed inside this context.
    """
    with ExitStack() as stack:
        parent = temporary_parent()
        try:
            folder = stack.enter_context(locked_folder(parent, _RUN_PREFIX))
        except OSError as error:
            reason = error.strerror or error
            raise ReconcileError(f"cannot create a temporary folder: {reason}; set TMPDIR to another folder") from None
        with _readable_errors(folder):
            yield folder


@contextmanager
def locked_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Provide a new, locked folder and remove it at the end. Before that, remove the folders of killed processes.

    The operating system releases a lock when its process ends, in any way. So an unlocked folder with this prefix is
    the folder of a killed process. This also holds between containers of one machine.

    Args:
        parent: where to create the folder.
        prefix: the start of the folder's name.

    Raises:
        OSError: the folder cannot be created.
    """
    for existing in parent.glob(f"{prefix}*"):
        _remove_if_unlocked(existing)
    # The folder gets its prefix only after it is locked. So no other process ever sees it unlocked and removes it.
    created = Path(tempfile.mkdtemp(prefix="reconcile-new-", dir=parent))
    descriptor = _lock(created)
    folder = created.rename(created.with_name(created.name.replace("reconcile-new-", prefix)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    """Turn errors of DuckDB, and of a full disk, into ReconcileError."""
    try:
        yield
    except (duckdb.Error, OSError, ReconcileError) as error:
        # A full disk may already be reported as a file that cannot be read, if a library reads and writes at the same
        # time.
        cause = error.__context__ if isinstance(error, ReconcileError) else error
        if isinstance(error, ReconcileError) and not isinstance(cause, duckdb.Error):
            raise
        if cause is not None and _is_disk_full(cause):
            raise ReconcileError(
                f"no space left in {folder.parent}, which holds the temporary files of a run; "
                "free some space, or set TMPDIR to a folder on a larger disk"
            ) from None
        if isinstance(error, duckdb.Error):
            raise ReconcileError(f"DuckDB failed: {first_line(error)} (temporary files: {folder.parent})") from None
        raise


def _is_disk_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _DISK_FULL_ERRNOS or any(text in str(error) for text in _DISK_FULL_TEXTS)


def _lock(folder: Path) -> int:
    """Lock a folder and return the file descriptor that holds the lock.

    Raises:
        OSError: another process holds the lock, this is not a folder, or it belongs to another user.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_unlocked(folder: Path) -> None:
    with suppress(OSError):
        descriptor = _lock(folder)
        try:
            if os.fstat(descriptor).st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
