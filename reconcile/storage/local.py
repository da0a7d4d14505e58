"""A local folder as a bucket.

obstore's own store for folders silently skips broken links and names that look like its temporary files. It also ends a
listing at the first name that is not UTF-8. `LocalBucket` lists every file; reading a broken one raises the reason.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.storage.base import PAGE, FetchError, S3Access, StoredObject
from reconcile.storage.local_listing import PARTIAL, FolderListing, etag_of, stored_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class LocalBucket:
    """A folder that implements `storage.base.Bucket`. An etag is made of the file's inode, time and size.

    Args:
        path: the folder.
        create: create the folder if it does not exist.
        warn: called with a message about a folder inside that cannot be read, and about files without a usable time.
            If it is None, such a folder is an error.

    Raises:
        ReconcileError: the folder does not exist, or cannot be created.
    """

    def __init__(self, path: Path, *, create: bool, warn: Callable[[str], None] | None = None) -> None:
        self._warn = warn
        self._path = path.expanduser().resolve()
        try:
            if create:
                self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReconcileError(f"cannot create the folder {self._path}: {error.strerror}; check --out") from None
        if self._path.exists() and not self._path.is_dir():
            raise ReconcileError(f"{self._path} is not a folder")
        if not self._path.is_dir():
            raise ReconcileError(f"there is no such folder: {self._path}")
        self.location = str(self._path)
        self.address = None
        self.access = S3Access()

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """List every file under the folder `prefix`. Symbolic links are followed."""
        try:
            objects = FolderListing(self._path, self._warn).files(self._path / prefix)
            while page := list(islice(objects, PAGE)):
                yield page
        except OSError as error:
            raise ReconcileError(f"cannot list {error.filename}: {error.strerror}") from None

    def get(self, key: str, etag: str | None = None, check_size: Callable[[int], None] | None = None) -> bytes:
        """Return the bytes of a file."""
        try:
            if not stat.S_ISREG((self._path / key).stat().st_mode):  # reading a named pipe may block forever
                raise FetchError("this is a pipe, a device or a folder, not a file")
            with (self._path / key).open("rb") as file:
                status = os.fstat(file.fileno())
                if etag is not None and etag_of(status) != etag:
                    raise FetchError("the file changed after it was listed; the next run reads the new version")
                if check_size is None:
                    return file.read()
                check_size(status.st_size)
                return file.read(status.st_size)  # the file may grow meanwhile
        except FileNotFoundError:
            if "\\x" in key:
                raise FetchError("the file's name is not UTF-8; rename it") from None
            is_link = (self._path / key).is_symlink()
            raise FetchError("the link is broken" if is_link else "the file does not exist (any more)") from None
        except OSError as error:
            raise FetchError(f"the file cannot be read: {error.strerror}") from None

    def download(self, key: str, path: Path) -> None:
        """Copy a file."""
        try:
            shutil.copyfile(self._path / key, path)
        except FileNotFoundError:
            raise FetchError("the file does not exist (any more)") from None
        except OSError as error:
            raise FetchError(f"the file cannot be copied: {error.strerror or error}") from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write a temporary file and rename it. A file under its final name is complete, even after a power cut."""
        path = self._path / key
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if isinstance(data, Path):
                    shutil.copyfile(data, partial)
                else:
                    partial.write_bytes(data)
                _flush_to_disk(partial)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise ReconcileError(f"cannot write {path}: {error.strerror}") from None

    def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """Return a file's current bytes, etag and time, or None if it does not exist."""
        try:
            with (self._path / key).open("rb") as file:
                return stored_object(key, os.fstat(file.fileno())), file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FetchError(f"{self._path / key} cannot be read: {error.strerror}") from None

    def create(self, key: str, data: bytes) -> bool:
        """Write a file if it does not exist.

        The file is empty for a moment, because not every file system has the hard links that would avoid it.
        """
        path = self._path / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb", buffering=0) as file:
                try:
                    file.write(data)
                except OSError:  # the disk is full
                    path.unlink()
                    raise
        except FileExistsError:
            return False
        except OSError as error:
            raise ReconcileError(f"cannot write {path}: {error.strerror}") from None
        return True

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Overwrite a file if its etag is still `etag`.

        Each writer locks the old file. A second writer that waited for the lock then finds another etag and gives up.
        A file system without locks behaves like an S3 server that ignores conditions.
        """
        path = self._path / key
        try:
            with path.open("rb+") as file:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                if etag_of(path.stat()) != etag:
                    return False
                self.put(key, data)
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ReconcileError(f"cannot write {path}: {error.strerror}") from None

    def delete(self, key: str) -> None:
        """Delete a file and the folders that are empty without it, because S3 has no empty folders either."""
        path = self._path / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ReconcileError(f"cannot delete {path}: {error.strerror}") from None
        with suppress(OSError):
            for folder in path.parents[: len(path.relative_to(self._path).parts) - 1]:
                folder.rmdir()

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """List the temporary files that interrupted writes left behind."""
        try:
            yield from FolderListing(self._path, self._warn).files(self._path, partial=True)
        except OSError as error:
            raise ReconcileError(f"cannot list {error.filename}: {error.strerror}") from None

    def local_path(self, key: str) -> Path | None:
        """Return the file's path."""
        return self._path / key

    def url(self, key: str) -> str:
        """Return the file's path as text."""
        return str(self._path / key)


def _flush_to_disk(path: Path) -> None:
    """Make the operating system write its buffers of a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
