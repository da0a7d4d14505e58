"""The bucket interface, which S3 buckets and local folders implement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reconcile.errors import UsageError
from reconcile.urls import WEB_ADDRESS, WITH_SECRETS, holds_secrets, is_web_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


PAGE = 1000
"""Objects per page of a listing. S3 returns at most this many per request."""


UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)
"""The time of an object whose time cannot be used. Tables have null instead."""


class FetchError(Exception):
    """An object could not be fetched. The message is the reason; the next run tries again."""


@dataclass(frozen=True)
class S3Access:
    """The access to S3, in the terms of the AWS CLI. None means that boto3 decides from the environment."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False

    def __post_init__(self) -> None:
        """Check the endpoint.

        Raises:
            UsageError: the endpoint is not a web address, or it holds a secret that must not reach a log.
        """
        if self.endpoint_url is not None and holds_secrets(self.endpoint_url):
            raise UsageError(f"the S3 endpoint {WITH_SECRETS}")
        if self.endpoint_url is not None and not is_web_address(self.endpoint_url):
            raise UsageError(f"the S3 endpoint {self.endpoint_url!r} is not a valid address: {WEB_ADDRESS}")


class StoredObject(NamedTuple):
    """One object of a listing. A run may hold millions of them."""

    key: str
    size: int
    etag: str
    modified: datetime


class Bucket(Protocol):
    """A bucket, a prefix of one, or a folder. Keys are relative to it."""

    @property
    def location(self) -> str:
        """Return the bucket's name for people: `s3://name/prefix` or an absolute path."""

    @property
    def address(self) -> str | None:
        """Return the web address in use, such as `https://bins.s3.eu-west-1.amazonaws.com`, or None for a folder."""

    @property
    def access(self) -> S3Access:
        """Return the endpoint and region in use, so that another machine can open the same bucket."""

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """List the objects under the folder `prefix`, in pages of up to 1000, in ascending order of keys.

        Markers of empty folders are left out.

        Raises:
            ReconcileError: the bucket does not exist, may not be listed or cannot be reached.
        """

    def get(self, key: str, etag: str | None = None, check_size: Callable[[int], None] | None = None) -> bytes:
        """Return the bytes of one object.

        Args:
            key: relative to the bucket.
            etag: from the listing. An object that has another etag counts as changed.
            check_size: called with the current size in bytes before any byte is read. It raises an error if the object
                must not be read.

        Raises:
            FetchError: the object is gone, is forbidden, has changed, or still fails after all retries.
            Exception: what `check_size` raised.
        """

    def download(self, key: str, path: Path) -> None:
        """Write the bytes of one object to a file, in chunks, because the object may be larger than memory.

        Raises:
            FetchError: as for `get`.
        """

    def put(self, key: str, data: bytes | Path) -> None:
        """Write one object atomically.

        Raises:
            ReconcileError: the object could not be written.
        """

    def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """Return an object's current bytes with their etag and time, or None if there is no such object.

        Raises:
            FetchError: the object could not be read.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write one object if the key is unused. If several callers try at the same time, one of them succeeds.

        A server that ignores conditions always writes. To get exclusive access, a caller must `read` the object back.

        Returns:
            whether the object was written. After a retried request the result may be False although the object was
            written.

        Raises:
            ReconcileError: the object could not be written.
        """

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Overwrite one object if its etag is still `etag`. Otherwise behaves like `create`."""

    def delete(self, key: str) -> None:
        """Delete one object if it exists.

        Raises:
            ReconcileError: the object could not be deleted.
        """

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """List partial files of interrupted writes, which `list_pages` hides.

        Raises:
            ReconcileError: the bucket could not be listed.
        """

    def local_path(self, key: str) -> Path | None:
        """Return the path of `key` on this machine's disk, or None for S3."""

    def url(self, key: str) -> str:
        """Return the address of `key` that a person can use."""
