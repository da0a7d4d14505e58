"""A resumable listing of an S3 bucket: by obstore, or by boto3 if obstore cannot express a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import obstore

from reconcile.storage.base import PAGE, StoredObject
from reconcile.storage.s3_errors import REQUEST_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconcile.storage.s3_client import S3Connection


class S3Listing:
    """A listing that continues after the last returned object when a request fails.

    Args:
        prefix: the folder to list, as in `storage.base.Bucket.list_pages`.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._last = self._start_after = ""
        self._pages: Iterator[list[StoredObject]] | None = None
        self._by_boto = False

    def next_page(self, connection: S3Connection) -> list[StoredObject] | None:
        """Return the next page, or None after the last. After an error, call it again."""
        while True:
            is_resumed = self._pages is None and self._start_after != ""
            if self._pages is None:
                # obstore cannot express a key that ends with a slash either.
                start = _boto_pages if self._by_boto or self._start_after.endswith("/") else _obstore_pages
                self._pages = start(connection, self._prefix, self._start_after)
            try:
                page = next(self._pages, None)
            except (*REQUEST_ERRORS, ValueError) as error:
                self._pages = None
                if self._by_boto or not (isinstance(error, ValueError) or "invalid path" in str(error)):
                    raise
                self._by_boto = True  # obstore cannot express keys such as a//b.jpg and stops there
                continue
            if page is None:
                return None
            if is_resumed and page and page[0].key.rstrip("/") == self._last:  # see `_remember`
                self._start_after, page = self._last + "/", page[1:]
            if page:
                self._remember(page)
                return page

    def _remember(self, page: list[StoredObject]) -> None:
        """Remember the key after which S3 has to continue.

        obstore drops a slash at the end of a key. If the previous key sorts after the last one, the last key had a
        slash. Otherwise no returned key lies between the two spellings. If the object then comes again, it had a slash.
        """
        before, last = page[-2].key if len(page) > 1 else self._last, page[-1].key
        had_a_slash = before.encode() > last.encode()
        self._last, self._start_after = last, last + "/" if had_a_slash else last


def _obstore_pages(connection: S3Connection, prefix: str, start_after: str) -> Iterator[list[StoredObject]]:
    for page in obstore.list(connection.reading, prefix=prefix or None, offset=start_after or None, chunk_size=PAGE):
        yield [
            StoredObject(meta["path"], meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"]) for meta in page
        ]


def _boto_pages(connection: S3Connection, prefix: str, start_after: str) -> Iterator[list[StoredObject]]:
    base = connection.base
    folder = base + (prefix.rstrip("/") + "/" if prefix else "")
    start = {"StartAfter": base + start_after} if start_after else {}
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
    pages: Iterable[list[StoredObject]], prefix: str, exists: Callable[[str], bool]
) -> Iterator[list[StoredObject]]:
    """Leave out folder markers: objects of 0 bytes whose key ends with a slash, as the AWS console writes them.

    obstore drops that slash. A marker is then an object of 0 bytes with one of these keys: the prefix itself, a folder
    of the next object, or a key that does not exist.

    Args:
        pages: the pages of a listing.
        prefix: the prefix that was listed.
        exists: returns whether there is an object of exactly this name.

    Yields:
        the pages without markers. No page is empty.
    """
    held: StoredObject | None = None
    for page in pages:
        kept: list[StoredObject] = []
        for stored in page:
            if held is not None and not stored.key.startswith(held.key + "/") and exists(held.key):
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
    if held is not None and exists(held.key):
        yield [held]


def plain_etag(etag: str | None) -> str:
    """Return an etag without quotes, because servers differ in whether they quote it in listings and headers."""
    return (etag or "").strip('"')
