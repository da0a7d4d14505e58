"""What there is tonight: photos and records of the bucket, listed or told by --keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.inputs.key_list import KeyList, of_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from reconcile.config import Settings
    from reconcile.inputs.backlog import Backlog
    from reconcile.inputs.pages import Page
    from reconcile.logs import RunLog
    from reconcile.storage.base import Bucket, StoredObject


class InputListing:
    """Pages of what there is, from whatever tells it.

    Args:
        settings: prefixes, and perhaps `keys`.
        bucket: what is listed where no keys are given.
        work: where files of keys are brought.

    Raises:
        ReconcileError: there are no such keys, or they are of another bucket.
    """

    def __init__(self, settings: Settings, bucket: Bucket, work: Path) -> None:
        self._settings, self._bucket = settings, bucket
        self.keys = None if settings.keys is None else KeyList(settings.keys, settings.s3_access(), bucket, work)
        self._told_by: Bucket | KeyList = bucket if self.keys is None else self.keys

    def photos(self) -> Iterator[Page]:
        """Pages of photos. Where records lie among them, those are the objects that end in .json."""
        pages = self._told_by.list_pages(self._settings.images_prefix)
        return _only(pages, is_json=False) if lie_together(self._settings) else iter(pages)

    def records(self) -> Iterator[Page]:
        """Pages of JSON records."""
        pages = self._told_by.list_pages(self._settings.records_prefix)
        return _only(pages, is_json=True) if lie_together(self._settings) else iter(pages)

    def need_photos(self, backlog: Backlog) -> None:
        """Wait for the first page of photos.

        Raises:
            ReconcileError: there is none.
        """
        prefix = self._settings.images_prefix
        at_the_top = " (for photos in no folder: --images-prefix '')" if prefix else ""
        self._need(backlog, "photos", prefix, f"are --bucket and --images-prefix right?{at_the_top}")

    def need_records(self, backlog: Backlog) -> None:
        """Wait for the first page of records.

        Raises:
            ReconcileError: there is none.
        """
        advice = (
            "is --records-prefix right? (A table of records: --records FILE)"
            if self._settings.keys is None
            else "add them, or name a table with --records"
        )
        self._need(backlog, "records", self._settings.records_prefix, advice)

    def _need(self, backlog: Backlog, what: str, prefix: str, advice: str) -> None:
        if not backlog.has_a_page():
            subject = "there are" if self._settings.keys is None else f"--keys {self._settings.keys} names"
            raise ReconcileError(f"{subject} no {what} under {self._bucket.url(prefix)}; {advice}")


def log_listing(pages: Iterator[list[StoredObject]], what: str, messages: RunLog) -> Iterator[list[StoredObject]]:
    """The same pages; at their end a line says how many there were, and how long it took."""
    started, new = time.monotonic(), 0
    for page in pages:
        new += len(page)
        yield page
    seconds = round(time.monotonic() - started, 2)
    messages.info(f"{what} listed in {seconds:.1f} s, {new:,} of them new", stage="list", new=new, seconds=seconds)


def lie_together(settings: Settings) -> bool:
    """Whether one prefix is within the other, so that photos and records are told apart by their ending."""
    images, records = (prefix.strip("/") + "/" for prefix in (settings.images_prefix, settings.records_prefix))
    return images == "/" or records == "/" or images.startswith(records) or records.startswith(images)


def _only(pages: Iterable[Page], *, is_json: bool) -> Iterator[Page]:
    for page in pages:
        if isinstance(page, list):
            yield [stored for stored in page if stored.key.lower().endswith(".json") == is_json]
        else:
            yield of_json(page, is_json=is_json)
