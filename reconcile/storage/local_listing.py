"""List the files of a local folder in the order in which S3 lists keys."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.storage.base import UNKNOWN_TIME, StoredObject
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PARTIAL = ".reconcile-partial"
"""The ending of files that are being written."""
_UNKNOWN_SIZE = -1
_NAMED = 20
"""The number of unreadable folders that are named."""
_LAST_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class FolderListing:
    """One listing of a folder. Symbolic links are followed.

    Args:
        root: the folder that keys are relative to.
        warn: called with a message about a folder that cannot be read, and about files without a usable time. If it is
            None, such a folder is an error.
    """

    def __init__(self, root: Path, warn: Callable[[str], None] | None) -> None:
        self._root, self._warn = root, warn
        self._unreadable = self._without_time = 0
        self._example = ""

    def files(self, folder: Path, *, partial: bool = False) -> Iterator[StoredObject]:
        """Yield the files of a folder and of the folders in it.

        Args:
            folder: the folder.
            partial: yield the files that are being written, and not the others.

        Raises:
            OSError: a folder cannot be read.
        """
        try:
            yield from self._walk(folder, (), partial=partial)
        finally:
            self._warn_at_the_end()

    def _walk(self, folder: Path, above: tuple[str, ...], *, partial: bool) -> Iterator[StoredObject]:
        if not above and not folder.is_dir():
            return
        real = os.path.realpath(folder)
        if real in above:  # a link to one of its own parents would make the walk endless
            return
        try:
            with os.scandir(folder) as entries:
                # A folder sorts by its name with a slash, so that keys come in the same order as from S3.
                ordered = sorted(
                    entries, key=lambda entry: os.fsencode(entry.name + ("/" if _is_folder(entry) else ""))
                )
        except (FileNotFoundError, NotADirectoryError):  # the folder was deleted meanwhile
            return
        except OSError as error:
            if self._warn is None or not above:
                raise
            self._leave_out(folder, error)
            return
        for entry in ordered:
            if _is_folder(entry):
                yield from self._walk(Path(entry.path), (*above, real), partial=partial)
            elif entry.name.endswith(PARTIAL) == partial:
                with suppress(FileNotFoundError):  # the file was deleted meanwhile
                    yield self._stored(Path(entry.path))

    def _stored(self, path: Path) -> StoredObject:
        # A table cannot hold a name that is not UTF-8. With escapes a person can still find the file.
        key = os.fsencode(path.relative_to(self._root)).decode("utf-8", "backslashreplace")
        try:
            try:
                status = path.stat()
            except OSError:  # a broken link: fetching the link raises the reason
                status = path.lstat()
        except PermissionError:  # the folder can be listed but not entered: fetching the file raises the reason
            return StoredObject(key, _UNKNOWN_SIZE, "", UNKNOWN_TIME)
        stored = stored_object(key, status)
        if stored.modified == UNKNOWN_TIME:
            self._without_time += 1
            self._example = self._example or str(path)
        return stored

    def _leave_out(self, folder: Path, error: OSError) -> None:
        self._unreadable += 1
        if self._warn is not None and self._unreadable <= _NAMED:
            self._warn(f"the folder {folder} cannot be read, so its files are left out: {error.strerror}")

    def _warn_at_the_end(self) -> None:
        if self._warn is None:
            return
        if self._unreadable > _NAMED:
            self._warn(f"{plural(self._unreadable - _NAMED, 'more folder')} cannot be read and are left out")
        if self._without_time:
            have = "has" if self._without_time == 1 else "have"
            self._warn(
                f"{plural(self._without_time, 'file')} {have} a time before 1970 or after 9999, such as "
                f"{self._example}; reconcile treats the time as unknown"
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link is not a folder: fetching the link raises the reason
        return False


def stored_object(key: str, status: os.stat_result) -> StoredObject:
    """Return a file as an object. A time before 1970 or after 9999 is UNKNOWN_TIME."""
    is_usable = 0 <= status.st_mtime <= _LAST_TIME
    modified = datetime.fromtimestamp(status.st_mtime, UTC) if is_usable else UNKNOWN_TIME
    return StoredObject(key, status.st_size, etag_of(status), modified)


def etag_of(status: os.stat_result) -> str:
    """Return an etag that is made of a file's inode, time and size."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
