"""Where images, records and results live: one interface to S3 buckets and local folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reconcile.errors import UsageError
from reconcile.urls import WEB_ADDRESS, WITH_SECRETS, holds_secrets, is_web_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path


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

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
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

    def download(self, key: str, path: Path) -> None:
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

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """What puts that were cut off left behind and `pages` keeps to itself.

        Raises:
            ReconcileError: it could not be listed.
        """

    def local_path(self, key: str) -> Path | None:
        """Where `key` lies on this machine's disk; None for S3."""

    def url(self, key: str) -> str:
        """What a person types to get at `key`."""
