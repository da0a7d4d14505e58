"""Where images, records and results live: one interface to S3 buckets and local folders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from reconcile.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_BUCKET_NAME = re.compile(r"[A-Za-z0-9._-]+")
PAGE = 1000
"""Objects that are listed at a time, as S3 has it."""


class FetchError(Exception):
    """One object could not be had; the message is the reason. The next run tries again."""


@dataclass(frozen=True)
class S3Access:
    """How to reach S3, in the words of the AWS CLI. None means: what boto3 finds in the environment."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for an endpoint, from wherever it comes, that is none or must not stand in a log."""
        if self.endpoint_url is not None and holds_secrets(self.endpoint_url):
            raise UsageError(f"the S3 endpoint {WITH_SECRETS}")
        if self.endpoint_url is not None and not is_web_address(self.endpoint_url):
            raise UsageError(f"the S3 endpoint {self.endpoint_url!r} is no address: {WEB_ADDRESS}")


WITH_SECRETS = "holds credentials, which would show in logs; set AWS_ACCESS_KEY_ID and the like"


WEB_ADDRESS = "expected http://HOST:PORT or https://HOST"


def is_web_address(url: str) -> bool:
    """Whether it can be asked for anything."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def holds_secrets(url: str) -> bool:
    """Whether an address has a user's name, a password, or a query, such as the signature of a presigned one."""
    parts = urlsplit(url)
    return bool(parts.username or parts.password or parts.query)


class StoredObject(NamedTuple):
    """One object as its listing tells it; there are millions of them."""

    key: str
    size: int
    etag: str
    modified: datetime


class Bucket(Protocol):
    """A bucket, a prefix of one, or a folder. Keys are relative to it."""

    @property
    def location(self) -> str:
        """What a person calls it: `s3://name/prefix` or an absolute path."""

    @property
    def access(self) -> S3Access:
        """What `open_bucket` needs on another machine, besides the location: endpoint and region as they are here."""

    def pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Pages of up to 1000 objects under the folder `prefix`, keys rising; markers of empty folders left out.

        Raises:
            ReconcileError: it is not there, may not be listed or cannot be reached.
        """

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of one object.

        Args:
            key: relative to the bucket.
            etag: as listed; if the object has another one by now, it is not the one that was asked for.

        Raises:
            FetchError: gone, forbidden, changed since it was listed, or still failing after retries.
        """

    def bring(self, key: str, path: Path) -> None:
        """Write the bytes of one object to a file, some at a time: it may be larger than memory.

        Raises:
            FetchError: as `get`.
        """

    def put(self, key: str, data: bytes | Path) -> None:
        """Write one object, whole or not at all.

        Raises:
            ReconcileError: it could not be written.
        """

    def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """One object as it is now, with the etag and the time that go with these bytes; None where there is none.

        Raises:
            FetchError: it could not be had.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write one object where there is none; of several who try at once one succeeds.

        A server that ignores conditions writes in any case: whoever needs to be alone has to `read` what it wrote.

        Returns:
            whether it was written. A request that was sent twice may have been, and yet say no.

        Raises:
            ReconcileError: it could not be written.
        """

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write one object over the one that has this etag; see `create`, which it is like in all else."""

    def delete(self, key: str) -> None:
        """Remove one object, if it is there.

        Raises:
            ReconcileError: it could not be removed.
        """

    def leftovers(self) -> Iterator[StoredObject]:
        """What puts that were cut off left behind and `pages` keeps to itself.

        Raises:
            ReconcileError: it could not be listed.
        """

    def local_path(self, key: str) -> Path | None:
        """Where `key` lies on this machine's disk; None for S3."""

    def url(self, key: str) -> str:
        """What a person types to get at `key`."""


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
        from reconcile.folder import Folder

        return Folder(Path(location), create=create)
    from reconcile.s3 import S3Bucket

    name, _, prefix = location.removeprefix("s3://").partition("/")
    if not name:
        raise ReconcileError(f"{location!r} names no bucket")
    if not _BUCKET_NAME.fullmatch(name):
        raise UsageError(f"{name!r} can be no bucket's name: letters, digits, dots, hyphens and underscores alone")
    prefix = prefix.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise UsageError(f"{location}: a folder of a bucket with an empty name, or named . or .., cannot be used")
    return S3Bucket(name, prefix, access)


def bring_file(location: str, access: S3Access, work: Path) -> Path:
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
        open_bucket(folder, access).bring(name, path)
    except FetchError as error:
        raise ReconcileError(f"{location}: {error}") from None
    return path
