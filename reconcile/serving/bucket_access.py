"""Decide which buckets and keys a request may name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconcile.errors import UsageError
from reconcile.serving.requests import InvalidRequestLine
from reconcile.storage.open import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


class ForbiddenBucket(InvalidRequestLine):
    """A line that names a bucket outside the buckets of the server."""


class ForbiddenKey(Exception):
    """A key that leads out of its bucket."""


class ObjectLocation(NamedTuple):
    """One object that the server may read."""

    bucket: str
    """One of the buckets that were named at the start."""
    key: str
    """The key, relative to that bucket."""


class AllowedBuckets:
    """The buckets that requests may name: the bucket of the server, and an allow list.

    A request may also name a prefix or a folder inside one of them.

    Args:
        own: the bucket of images whose line names no bucket; empty if every line has to name one.
        others: the allow list, in the form of `--bucket`.

    Raises:
        UsageError: reconcile does not support one of the locations.
    """

    def __init__(self, own: str, others: Sequence[str] = ()) -> None:
        self._own = own
        self._allowed = [(location, _parts(location)) for location in (own, *others) if location]

    def locate(self, bucket: str | None, key: str) -> ObjectLocation:
        """Return where an object is, relative to one of the allowed buckets.

        Args:
            bucket: the bucket of the line, or None for the bucket of the server.
            key: the key of the line, relative to `bucket`.

        Raises:
            ForbiddenBucket: the bucket is not allowed.
            InvalidRequestLine: the line names no bucket, and the server has none.
            ForbiddenKey: the key leads out of the bucket, or a link in a folder leads out of all allowed folders.
        """
        location, prefix = self._find(bucket)
        parts = key.split("/")
        if "." in parts or ".." in parts or (parts[0] == "" and is_folder(location)):
            raise ForbiddenKey("the key leads out of the bucket")
        found = ObjectLocation(location, "/".join([*prefix, key]))
        if is_folder(location) and not self._is_allowed_file(Path(location).expanduser() / found.key):
            raise ForbiddenKey("a link leads out of the bucket; name the folder of its target with --allow-bucket")
        return found

    def check(self, bucket: str | None) -> str:
        """Return the allowed bucket that contains the bucket of a line.

        Raises:
            ForbiddenBucket, InvalidRequestLine: as for `locate`.
        """
        return self._find(bucket)[0]

    def _is_allowed_file(self, path: Path) -> bool:
        """Return whether a file is in an allowed folder after all links are followed."""
        try:
            parts = path.resolve().parts
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            return False
        return any(parts[: len(allowed)] == allowed for _, allowed in self._allowed)

    def _find(self, bucket: str | None) -> tuple[str, tuple[str, ...]]:
        """Return an allowed bucket, and the folders in it that lead to the bucket of a line."""
        if not (bucket or self._own):
            raise InvalidRequestLine("the line names no bucket, and RECONCILE_BUCKET is not set")
        try:
            parts = _parts(bucket or self._own)
        except (UsageError, OSError, RuntimeError):  # RuntimeError: ~name of a user who does not exist
            parts = ()
        for location, allowed in self._allowed:
            if parts and parts[: len(allowed)] == allowed:
                return location, parts[len(allowed) :]
        raise ForbiddenBucket("the server may not read this bucket; name it with --allow-bucket when the server starts")


def _parts(location: str) -> tuple[str, ...]:
    """Return the parts of a location. A bucket on S3 never equals a folder, because its first part is `s3:`."""
    if is_folder(location):
        return Path(location).expanduser().resolve().parts
    parts = location.removeprefix("s3://").strip("/").split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise UsageError(f"{location}: a folder inside a bucket must not be empty and must not be named . or ..")
    return "s3:", *parts
