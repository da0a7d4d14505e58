"""Open a bucket, a prefix of one, or a local folder."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import Bucket, FetchError, S3Access
from reconcile.urls import normalize_location

if TYPE_CHECKING:
    from collections.abc import Callable


_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ACCESS_POINT = re.compile(r"arn:[a-z-]+:s3:([a-z0-9-]*):\d+:accesspoint[:/]([A-Za-z0-9.-]+)")
_OBJECT_ON_S3 = re.compile(rf"s3://({_ACCESS_POINT.pattern}|[^/]*)(?:/(.*))?", re.DOTALL)
_DIRECTORY_BUCKET = "--x-s3"
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]{1,10}){1,2}$")


def is_folder(location: str) -> bool:
    """Return whether a location is a local folder: it contains a slash, or starts with a dot or a tilde.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
    """
    return not is_bare_word(location) and not _checked(location).startswith("s3://")


def is_bare_word(location: str) -> bool:
    """Return whether a location is a word such as `photos`, which may name a bucket or a folder.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
    """
    location = _checked(location)
    return "/" not in location and not location.startswith((".", "~"))


def split_location(location: str) -> tuple[str, str]:
    """Return the bucket of an S3 location, and the key or prefix in it, which may be empty.

    The bucket is a name, or the ARN of an access point, which may contain a slash.

    Args:
        location: `s3://bucket/key`, or only the name of a bucket.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
    """
    match = _OBJECT_ON_S3.fullmatch("s3://" + _checked(location).removeprefix("s3://"))
    assert match is not None
    return match[1], match[4] or ""


def open_bucket(
    location: str, access: S3Access, *, create: bool = False, warn: Callable[[str], None] | None = None
) -> Bucket:
    """Open a bucket name, `s3://name/prefix` or a local folder. No request is sent yet.

    Args:
        location: a bare word is a bucket; a folder has a slash or begins with a dot.
        access: how to reach S3. Not used for a folder.
        create: create the folder if it does not exist.
        warn: called with a message about a part of the folder that cannot be read. If it is None, such a part is an
            error.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
        ReconcileError: the folder does not exist, or there are no credentials.
    """
    if is_folder(location):
        from reconcile.storage.local import LocalBucket

        return LocalBucket(Path(location), create=create, warn=warn)
    from reconcile.storage.s3 import S3Bucket

    name, prefix = split_location(location)
    _check_bucket_name(name)
    prefix = prefix.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise UsageError(f"{location}: a folder inside a bucket must not be empty and must not be named . or ..")
    return S3Bucket(name, prefix, access)


def download_file(option: str, location: str, access: S3Access, work: Path) -> Path:
    """Return a local path for a file that is given as a path or as `s3://bucket/key`.

    Args:
        option: the option that names the file, for messages.
        location: the file. An S3 object is downloaded.
        access: how to reach S3.
        work: the folder for downloads.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
        ReconcileError: the file does not exist or cannot be read.
    """
    location = _checked(location)
    if not location.startswith("s3://"):
        path = Path(location).expanduser()
        if not path.is_file():
            raise ReconcileError(f"{option}: there is no file {location}")
        return path
    name, key = split_location(location)
    if not key or key.endswith("/"):
        raise ReconcileError(f"{option}: {location} names a bucket or a folder in it, but no object")
    # A key may end in .. or be longer than a file name, so the copy keeps only its ending.
    path = Path(tempfile.mkdtemp(prefix="download-", dir=work), "1" + file_ending(key))
    try:
        open_bucket(f"s3://{name}", access).download(key, path)
    except FetchError as error:
        raise ReconcileError(f"{option} {location}: {error}") from None
    return path


def file_ending(key: str) -> str:
    """Return the ending of a key, such as `.csv.gz`, or an empty text if it has none."""
    match = _ENDING.search(key)
    return match[0] if match else ""


def _checked(location: str) -> str:
    try:
        return normalize_location(location)
    except ValueError as error:
        raise UsageError(f"the location {error}") from None


def _check_bucket_name(name: str) -> None:
    """Check that reconcile can use a bucket of this name, or an access point with this ARN.

    Raises:
        UsageError: it cannot.
    """
    if not name:
        raise UsageError("the location does not name a bucket; expected s3://BUCKET/PREFIX")
    point = _ACCESS_POINT.fullmatch(name)
    if point is not None and not point[1]:
        raise UsageError(f"{name} is a Multi-Region Access Point, which reconcile does not support; name a bucket")
    if point is None and name.startswith("arn:"):
        raise UsageError(
            f"reconcile does not support {name}; of ARNs it supports arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME"
        )
    if point is None and not _BUCKET_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid bucket name: only letters, digits, dots, hyphens and underscores are allowed"
        )
    if name.endswith(_DIRECTORY_BUCKET):  # its listing has no order, so a broken listing could not continue
        raise UsageError(f"{name} is a directory bucket (S3 Express), which reconcile does not support")
