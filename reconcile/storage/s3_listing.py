"""Lists what an S3 bucket holds, a page at a time: by obstore, and by boto3 where obstore has no word for a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore

from reconcile.storage.base import PAGE, StoredObject
from reconcile.storage.s3_errors import REQUEST_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconcile.storage.s3_client import S3Connection


class S3Listing:
    """A listing that goes on behind the last object it gave, after whatever broke it.

    Args:
        prefix: of the keys, as `bucket.Bucket.pages` has it.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._last = self._behind = ""
        self._pages: Iterator[list[StoredObject]] | None = None
        self._by_boto = False

    def next_page(self, connection: S3Connection) -> list[StoredObject] | None:
        """The next page, None behind the last. After an error, the call is simply made again."""
        while True:
            goes_on = self._pages is None and self._behind != ""
            if self._pages is None:
                # obstore cannot name a key with a slash at its end either.
                start = _boto_pages if self._by_boto or self._behind.endswith("/") else _obstore_pages
                self._pages = start(connection, self._prefix, self._behind)
            try:
                page = next(self._pages, None)
            except REQUEST_ERRORS as error:
                self._pages = None
                if "invalid path" not in str(error) or self._by_boto:
                    raise
                self._by_boto = True  # obstore has no word for keys such as a//b.jpg and ends there
                continue
            if page is None:
                return None
            if goes_on and page and page[0].key.rstrip("/") == self._last:  # see `_remember`
                self._behind, page = self._last + "/", page[1:]
            if page:
                self._remember(page)
                return page

    def _remember(self, page: list[StoredObject]) -> None:
        """What S3 has to be asked for next: it lists behind a key.

        obstore drops a slash at a key's end. Where the key before sorts behind this one, there was a slash. Otherwise
        nothing that was given lies between the two spellings, and this object may come again: then there was a slash.
        """
        before, last = page[-2].key if len(page) > 1 else self._last, page[-1].key
        had_a_slash = before.encode() > last.encode()
        self._last, self._behind = last, last + "/" if had_a_slash else last


def _obstore_pages(connection: S3Connection, prefix: str, behind: str) -> Iterator[list[StoredObject]]:
    for page in obstore.list(connection.reading, prefix=prefix or None, offset=behind or None, chunk_size=PAGE):
        yield [
            StoredObject(meta["path"], meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"]) for meta in page
        ]


def _boto_pages(connection: S3Connection, prefix: str, behind: str) -> Iterator[list[StoredObject]]:
    base = connection.base
    folder = base + (prefix.rstrip("/") + "/" if prefix else "")
    start = {"StartAfter": base + behind} if behind else {}
    for page in connection.boto.get_paginator("list_objects_v2").paginate(
        Bucket=connection.name, Prefix=folder, **start
    ):
        yield [
            StoredObject(
                entry["Key"].removeprefix(base), entry["Size"], plain_etag(entry["ETag"]), entry["LastModified"]
            )
            for entry in page.get("Contents", [])
        ]


def without_markers(
    pages: Iterable[list[StoredObject]], prefix: str, is_there: Callable[[str], bool]
) -> Iterator[list[StoredObject]]:
    """Leave out what the AWS console writes to show an empty folder: an object of 0 bytes with a slash at its end.

    obstore drops that slash. What is left has 0 bytes and is the prefix itself, or a folder of the object that follows;
    or there is no object of that name.

    Args:
        pages: of a listing.
        prefix: that was listed.
        is_there: whether there is an object of just this name.

    Yields:
        the pages without them; none is empty.
    """
    held: StoredObject | None = None
    for page in pages:
        kept: list[StoredObject] = []
        for stored in page:
            if held is not None and not stored.key.startswith(held.key + "/") and is_there(held.key):
                kept.append(held)
            held = None
            if stored.size == 0 and (stored.key.endswith("/") or stored.key == prefix.rstrip("/")):
                continue
            if stored.size == 0:
                held = stored
            else:
                kept.append(stored)
        if kept:
            yield kept
    if held is not None and is_there(held.key):
        yield [held]


def plain_etag(etag: str | None) -> str:
    """Some servers quote the etag in a listing and some only in a header."""
    return (etag or "").strip('"')
