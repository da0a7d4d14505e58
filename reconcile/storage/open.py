"""Open a bucket, a prefix of one, or a local folder."""

from __future__ import annotations

import re
from pathlib import Path

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import Bucket, FetchError, S3Access

_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_folder(location: str) -> bool:
    """Whether a location names a local folder: it holds a slash or starts with a dot or a tilde, and no s3://."""
    return not location.startswith("s3://") and ("/" in location or location.startswith((".", "~")))


def open_bucket(location: str, access: S3Access, *, create: bool = False) -> Bucket:
    """Open a bucket name, `s3://name/prefix` or a local folder. Nothing is requested yet.

    Args:
        location: a bare word is a bucket; a folder has a slash or begins with a dot.
        access: how to reach S3; of no concern to a folder.
        create: make the folder if it is not there.

    Raises:
        UsageError: no bucket can have that name.
        ReconcileError: no such folder, or no credentials.
    """
    if is_folder(location):
        from reconcile.storage.local import LocalBucket

        return LocalBucket(Path(location), create=create)
    from reconcile.storage.s3 import S3Bucket

    name, _, prefix = location.removeprefix("s3://").partition("/")
    if not name:
        raise ReconcileError(f"{location!r} names no bucket")
    if not _BUCKET_NAME.fullmatch(name):
        raise UsageError(f"{name!r} can be no bucket's name: letters, digits, dots, hyphens and underscores alone")
    prefix = prefix.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise UsageError(f"{location}: a folder of a bucket with an empty name, or named . or .., cannot be used")
    return S3Bucket(name, prefix, access)


def download_file(location: str, access: S3Access, work: Path) -> Path:
    """A path on this machine for one file, given as a path or as `s3://bucket/key`.

    Raises:
        ReconcileError: it is not there or cannot be read.
    """
    if not location.startswith("s3://"):
        path = Path(location).expanduser()
        if not path.is_file():
            raise ReconcileError(f"there is no file {location}")
        return path
    folder, _, name = location.rpartition("/")
    if folder == "s3:/":
        raise ReconcileError(f"{location} names a bucket, and no object in it")
    path = work / name
    try:
        open_bucket(folder, access).download(name, path)
    except FetchError as error:
        raise ReconcileError(f"{location}: {error}") from None
    return path
