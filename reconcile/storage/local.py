"""A local folder that serves as a bucket.

obstore's own store for folders leaves out broken links and names that look like its temporary files without a word, and
ends a listing at the first name that is not UTF-8. Here every file is listed, and one that cannot be read says why.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.storage.base import PAGE, FetchError, S3Access, StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterator


_PARTIAL = ".reconcile-partial"


class LocalBucket:
    """See `bucket.Bucket`. An etag is the file's inode, time and size."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self._path = path.expanduser().resolve()
        try:
            if create:
                self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReconcileError(f"{self._path} cannot be made a folder: {error.strerror}") from None
        if self._path.exists() and not self._path.is_dir():
            raise ReconcileError(f"{self._path} is no folder")
        if not self._path.is_dir():
            raise ReconcileError(f"there is no such folder: {self._path}")
        self.location = str(self._path)
        self.access = S3Access()

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Every file under the folder `prefix`, symbolic links followed."""
        try:
            found = self._walk(self._path / prefix, partial=False)
            while page := list(islice(found, PAGE)):
                yield page
        except OSError as error:
            raise ReconcileError(f"cannot list {error.filename}: {error.strerror}") from None

    def _walk(self, folder: Path, *, partial: bool, above: tuple[str, ...] = ()) -> Iterator[StoredObject]:
        if not folder.is_dir():
            return
        real = os.path.realpath(folder)
        if real in above:  # a link that leads back to where we came from
            return
        with os.scandir(folder) as entries:
            # A folder sorts as its name with a slash, so that keys rise as they do in S3.
            ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name + ("/" if _is_folder(entry) else "")))
        for entry in ordered:
            if _is_folder(entry):
                yield from self._walk(Path(entry.path), partial=partial, above=(*above, real))
            elif entry.name.endswith(_PARTIAL) == partial:
                with suppress(FileNotFoundError):  # it has gone since
                    yield self._stored(Path(entry.path))

    def _stored(self, path: Path) -> StoredObject:
        # A name that is not UTF-8 can stand in no table; written out like this it can at least be found.
        key = os.fsencode(path.relative_to(self._path)).decode("utf-8", "backslashreplace")
        try:
            status = path.stat()
        except OSError:  # a link to nowhere; fetching it will say so
            status = path.lstat()
        return _told(key, status)

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of a file."""
        try:
            if not stat.S_ISREG((self._path / key).stat().st_mode):  # of a named pipe nothing may ever come
                raise FetchError("it is no file, but a pipe, a device or a folder")
            with (self._path / key).open("rb") as file:
                if etag is not None and _etag(os.fstat(file.fileno())) != etag:
                    raise FetchError("the file changed between listing and reading; the next listing has the new one")
                return file.read()
        except FileNotFoundError:
            if "\\x" in key:
                raise FetchError("the file's name is not UTF-8; rename it") from None
            is_link = (self._path / key).is_symlink()
            raise FetchError("the link leads nowhere" if is_link else "there is no such file (any more)") from None
        except OSError as error:
            raise FetchError(f"cannot be read: {error.strerror}") from None

    def download(self, key: str, path: Path) -> None:
        """Copy a file."""
        try:
            shutil.copyfile(self._path / key, path)
        except FileNotFoundError:
            raise FetchError("there is no such file (any more)") from None
        except OSError as error:
            raise FetchError(f"cannot be copied: {error.strerror or error}") from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write beside, then rename; what has its name is on the disk, also after a power cut."""
        path = self._path / key
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if isinstance(data, Path):
                    shutil.copyfile(data, partial)
                else:
                    partial.write_bytes(data)
                _settle(partial)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise ReconcileError(f"cannot write {path}: {error.strerror}") from None

    def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """A file as it is now."""
        try:
            with (self._path / key).open("rb") as file:
                return _told(key, os.fstat(file.fileno())), file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FetchError(f"{self._path / key} cannot be read: {error.strerror}") from None

    def create(self, key: str, data: bytes) -> bool:
        """Write a file that is not there. For a moment it is there and empty: not every file system has hard links."""
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
        """Write over a file.

        Whoever wants to do so locks the file that is to go: the next one, who waited for that, finds another in its
        place. A file system without locks is like an S3 server that ignores conditions.
        """
        path = self._path / key
        try:
            with path.open("rb+") as file:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                if _etag(path.stat()) != etag:
                    return False
                self.put(key, data)
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ReconcileError(f"cannot write {path}: {error.strerror}") from None

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that it was the last one in: S3 has no empty folders either."""
        path = self._path / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ReconcileError(f"cannot delete {path}: {error.strerror}") from None
        with suppress(OSError):
            for folder in path.parents[: len(path.relative_to(self._path).parts) - 1]:
                folder.rmdir()

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """Files that were being written when somebody pulled the plug."""
        try:
            yield from self._walk(self._path, partial=True)
        except OSError as error:
            raise ReconcileError(f"cannot list {error.filename}: {error.strerror}") from None

    def local_path(self, key: str) -> Path | None:
        """Where it lies."""
        return self._path / key

    def url(self, key: str) -> str:
        """Its path."""
        return str(self._path / key)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle is no folder; fetching it will say so
        return False


def _told(key: str, status: os.stat_result) -> StoredObject:
    return StoredObject(key, status.st_size, _etag(status), datetime.fromtimestamp(status.st_mtime, UTC))


def _settle(path: Path) -> None:
    """Have the operating system write to the disk what it still holds of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
