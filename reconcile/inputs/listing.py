"""The photos and records of a run, from a listing of the bucket or from `--keys`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.inputs.key_list import KeyList, filter_json
from reconcile.inputs.system_files import without_system_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from reconcile.config import Settings
    from reconcile.inputs.backlog import Backlog
    from reconcile.inputs.pages import Page
    from reconcile.logs import RunLog
    from reconcile.storage.base import Bucket, StoredObject


class InputListing:
    """Pages of photos and of records, from a listing of the bucket or from `--keys`.

    Args:
        settings: the prefixes, and `keys` if it is set.
        bucket: the bucket that is listed if `keys` is not set.
        scratch: the folder for downloaded key files.
        warn: called with each problem of a row or column of `keys`.

    Raises:
        UsageError: `keys` names an unknown kind of file, or the bucket is a folder.
        ReconcileError: `keys` names no file, or the keys belong to another bucket.
    """

    def __init__(self, settings: Settings, bucket: Bucket, scratch: Path, warn: Callable[[str], None]) -> None:
        self._settings, self._bucket = settings, bucket
        self.keys: KeyList | None = None
        """The keys of `--keys`, or None if the bucket is listed."""
        if settings.keys is not None:
            self.keys = KeyList(settings.keys, settings.s3_access(), bucket, scratch, warn)
        self._source: Bucket | KeyList = bucket if self.keys is None else self.keys

    def photos(self) -> Iterator[Page]:
        """List pages of photos. If photos and records share a folder, objects that end in .json are not photos."""
        pages = without_system_files(self._source.list_pages(self._settings.images_prefix))
        return _filter_pages(pages, is_json=False) if prefixes_overlap(self._settings) else iter(pages)

    def records(self) -> Iterator[Page]:
        """List pages of JSON records."""
        pages = without_system_files(self._source.list_pages(self._settings.records_prefix))
        return _filter_pages(pages, is_json=True) if prefixes_overlap(self._settings) else iter(pages)

    def need_photos(self, backlog: Backlog) -> None:
        """Wait for the first page of photos.

        Raises:
            ReconcileError: there are no photos.
        """
        prefix = self._settings.images_prefix
        hint = " (for photos at the top of the bucket: --images-prefix '')" if prefix else ""
        self._need(backlog, "photos", prefix, f"are --bucket and --images-prefix right?{hint}")

    def need_records(self, backlog: Backlog) -> None:
        """Wait for the first page of records.

        Raises:
            ReconcileError: there are no records.
        """
        advice = (
            "is --records-prefix right? (for a table of records: --records FILE)"
            if self._settings.keys is None
            else "add them to the list of keys, or name a table with --records"
        )
        self._need(backlog, "records", self._settings.records_prefix, advice)

    def _need(self, backlog: Backlog, what: str, prefix: str, advice: str) -> None:
        if not backlog.wait_for_first_page():
            subject = "there are" if self._settings.keys is None else f"--keys {self._settings.keys} names"
            raise ReconcileError(f"{subject} no {what} under {self._bucket.url(prefix)}; {advice}")


def log_listing(pages: Iterator[list[StoredObject]], what: str, log: RunLog) -> Iterator[list[StoredObject]]:
    """Pass on pages of new objects. At the end, log their number and the seconds that the listing took."""
    started, new = time.monotonic(), 0
    for page in pages:
        new += len(page)
        yield page
    seconds = round(time.monotonic() - started, 2)
    log.info(f"{what} listed in {seconds:.1f} s; {new:,} are new", stage="list", new=new, seconds=seconds)


def prefixes_overlap(settings: Settings) -> bool:
    """Return whether one prefix contains the other. Then only the ending .json distinguishes records from photos."""
    images, records = (prefix.strip("/") + "/" for prefix in (settings.images_prefix, settings.records_prefix))
    return images == "/" or records == "/" or images.startswith(records) or records.startswith(images)


def _filter_pages(pages: Iterable[Page], *, is_json: bool) -> Iterator[Page]:
    for page in pages:
        if isinstance(page, list):
            yield [stored for stored in page if stored.key.lower().endswith(".json") == is_json]
        else:
            yield filter_json(page, is_json=is_json)
