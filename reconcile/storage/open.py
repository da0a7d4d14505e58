"""Open a bucket, a prefix of one, or a local folder."""

from __future__ import annotations

import re
from pathlib import Path

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import Bucket, FetchError, S3Access

_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_folder(location: str) -> bool:
    """Return whether a location is a local folder: it contains a slash, or starts with a dot or a tilde."""
    return not location.startswith("s3://") and ("/" in location or location.startswith((".", "~")))


def open_bucket(location: str, access: S3Access, *, create: bool = False) -> Bucket:
    """Open a bucket name, `s3://name/prefix` or a local folder. No request is sent yet.

    Args:
        location: a bare word is a bucket; a folder has a slash or begins with a dot.
        access: how to reach S3. Not used for a folder.
        create: create the folder if it does not exist.

    Raises:
        UsageError: the name is not valid for a bucket.
        ReconcileError: the folder does not exist, or there are no credentials.
    """
    if is_folder(location):
        from reconcile.storage.local import LocalBucket

        return LocalBucket(Path(location), create=create)
    from reconcile.storage.s3 import S3Bucket

    name, _, prefix = location.removeprefix("s3://").partition("/")
    if not name:
        raise ReconcileError(f"{location!r} does not name a bucket")
    if not _BUCKET_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid bucket name: only letters, digits, dots, hyphens and underscores are allowed"
        )
    prefix = prefix.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise UsageError(f"{location}: a folder inside a bucket must not be empty and must not be named . or ..")
    return S3Bucket(name, prefix, access)


def download_file(location: str, access: S3Access, work: Path) -> Path:
    """Return a local path for a file that is given as a path or as `s3://bucket/key`.

    Args:
        location: the file. An S3 object is downloaded.
        access: how to reach S3.
        work: the folder for downloads.

    Raises:
        ReconcileError: the file does not exist or cannot be read.
    """
    if not location.startswith("s3://"):
        path = Path(location).expanduser()
        if not path.is_file():
            raise ReconcileError(f"there is no file {location}")
        return path
    folder, _, name = location.rpartition("/")
    if folder == "s3:/":
        raise ReconcileError(f"{location} names a bucket, but no object in it")
    path = work / name
    try:
        open_bucket(folder, access).download(name, path)
    except FetchError as error:
        raise ReconcileError(f"{location}: {error}") from None
    return path
