"""A local folder that serves as a bucket.

obstore's own store for folders leaves out broken links and names that look like its temporary files without a word, and
ends a listing at the first name that is not UTF-8. Here every file is listed, and one that cannot be read says why.
"""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.bucket import PAGE, FetchError, StoredObject
from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTIAL = ".reconcile-partial"


class Folder:
    """See `bucket.Bucket`. An etag is the file's inode, time and size."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self._path = path.expanduser().resolve()
        try:
            if create:
                self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReconcileError(f"{self._path} cannot be made a folder: {error.strerror}") from None
        if not self._path.is_dir():
            raise ReconcileError(f"there is no such folder: {self._path}")
        self.location = str(self._path)

    def pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Every file under the folder `prefix`, symbolic links followed."""
        try:
            found = self._walk(self._path / prefix, "")
            while page := list(islice(found, PAGE)):
                yield page
        except OSError as error:
            raise ReconcileError(f"cannot list {error.filename}: {error.strerror}") from None

    def _walk(self, folder: Path, inside: str, above: tuple[str, ...] = ()) -> Iterator[StoredObject]:
        if not folder.is_dir():
            return
        real = os.path.realpath(folder)
        if real in above:  # a link that leads back to where we came from
            return
        with os.scandir(folder) as entries:
            # A folder sorts as its name with a slash, so that keys rise as they do in S3.
            ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name + ("/" if entry.is_dir() else "")))
        for entry in ordered:
            if entry.is_dir():
                yield from self._walk(Path(entry.path), inside, (*above, real))
            elif not entry.name.endswith(_PARTIAL):
                yield self._stored(Path(entry.path))

    def _stored(self, path: Path) -> StoredObject:
        # A name that is not UTF-8 can stand in no table; written out like this it can at least be found.
        key = os.fsencode(path.relative_to(self._path)).decode("utf-8", "backslashreplace")
        try:
            status = path.stat()
        except OSError:  # a link to nowhere; fetching it will say so
            status = path.lstat()
        modified = datetime.fromtimestamp(status.st_mtime, UTC)
        return StoredObject(key, status.st_size, _etag(status), modified)

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of a file."""
        try:
            with (self._path / key).open("rb") as file:
                if etag is not None and _etag(os.fstat(file.fileno())) != etag:
                    raise FetchError("the file changed between listing and reading; the next run takes the new one")
                return file.read()
        except FileNotFoundError:
            if "\\x" in key:
                raise FetchError("the file's name is not UTF-8; rename it") from None
            is_link = (self._path / key).is_symlink()
            raise FetchError("the link leads nowhere" if is_link else "there is no such file (any more)") from None
        except OSError as error:
            raise FetchError(f"cannot be read: {error.strerror}") from None

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

    def delete(self, key: str) -> None:
        """Remove a file."""
        try:
            (self._path / key).unlink()
        except OSError as error:
            raise ReconcileError(f"cannot delete {self._path / key}: {error.strerror}") from None

    def local_path(self, key: str) -> Path | None:
        """Where it lies."""
        return self._path / key

    def url(self, key: str) -> str:
        """Its path."""
        return str(self._path / key)


def _settle(path: Path) -> None:
    """Have the operating system write to the disk what it still holds of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
