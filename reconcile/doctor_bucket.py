"""What `reconcile doctor` looks at of photos and records: whether they can be read, and are of the same bins."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.bucket import bring_file, open_bucket
from reconcile.database import open_database
from reconcile.errors import ReconcileError
from reconcile.finding import Finding, look
from reconcile.night_listing import NightListing
from reconcile.places import s3_access
from reconcile.records import InvalidRecord, bin_id, read_abid_record
from reconcile.records_table import load_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.backlog import Page
    from reconcile.bucket import Bucket
    from reconcile.config import Settings


def examine_bucket(settings: Settings) -> Iterator[Finding]:
    """Look at photos and records: at the first page of a listing, and at all of a table."""
    with tempfile.TemporaryDirectory() as work:
        looking = _Looking(settings, Path(work))
        if settings.bucket:
            yield from looking.at_bucket()
        else:
            yield Finding("bucket", "?", "not looked at, since none was named (say --bucket); everything else was")
        if settings.records is not None:
            yield look("records", lambda: looking.at_table(str(settings.records)))
        yield from looking.at_ids()


class _Looking:
    """What was seen so far."""

    def __init__(self, settings: Settings, work: Path) -> None:
        self._settings, self._work = settings, work
        self._photos: list[str] = []
        """Keys of the first page."""
        self._records: list[str] = []
        """Keys of records of the first page, or none and `_on_record` instead."""
        self._on_record: set[str] | None = None
        """Those of the photos' bins that a table has."""
        self._row: str | None = None

    def at_bucket(self) -> Iterator[Finding]:
        settings = self._settings
        try:
            bucket = open_bucket(settings.bucket, s3_access(settings))
        except ReconcileError as error:
            yield Finding("bucket", "FAIL", str(error))
            return
        try:
            listing = NightListing(settings, bucket, self._work)
        except ReconcileError as error:
            yield Finding("keys", "FAIL", str(error))
            return
        if listing.keys is not None:
            yield Finding("keys", "ok", listing.keys.in_words())
        yield look("photos", lambda: self._at_photos(bucket, listing))
        if settings.records is None:
            yield look("records", lambda: self._at_records(bucket, listing))

    def _at_photos(self, bucket: Bucket, listing: NightListing) -> str:
        self._photos = _first_page(listing.photos())
        return self._first(bucket, self._photos, self._settings.images_prefix, "--images-prefix")[0]

    def _at_records(self, bucket: Bucket, listing: NightListing) -> str:
        self._records = _first_page(listing.records())
        text, data = self._first(bucket, self._records, self._settings.records_prefix, "--records-prefix")
        try:
            read_abid_record(data)
        except InvalidRecord as error:  # it will be a row that says so, and others may be sound
            return f"{text}, but is no record: {error}"
        return text

    def _first(self, bucket: Bucket, keys: list[str], prefix: str, flag: str) -> tuple[str, bytes]:
        """What is to be said of the first object under a prefix, and its bytes."""
        if not keys:
            raise ReconcileError(f"nothing under {bucket.url(prefix)}; is {flag} right?")
        data = bucket.get(keys[0])
        what = "can be listed" if self._settings.keys is None else "has keys"
        return f"{bucket.url(prefix)} {what}, and {keys[0]} can be read ({len(data):,} bytes)", data

    def at_table(self, source: str) -> str:
        settings = self._settings
        with open_database(self._work) as database:
            path = bring_file(source, s3_access(settings), self._work)
            load_table(database, path, source, settings.columns_of_table, self._work)
            rows = len(database.table("source_rows"))
            if not rows:
                raise ReconcileError(f"{source} has the columns that are needed, and not one row")
            found = database.execute(
                "SELECT DISTINCT trim(bin_id) FROM source_rows WHERE trim(bin_id) IN (SELECT unnest($bins))",
                {"bins": [bin_id(key) for key in self._photos]},
            ).fetchall()
            first = database.execute("SELECT bin_id FROM source_rows WHERE bin_id <> '' LIMIT 1").fetchone()
        self._on_record = {name for (name,) in found}
        self._row = first[0] if first else None
        return f"{source} has {rows:,} rows with the columns that are needed"

    def at_ids(self) -> Iterator[Finding]:
        """Whether photos and records are of the same bins, as far as that was seen."""
        on_record = self._on_record
        example = f"row of bin {self._row}"
        if self._records:
            on_record = {bin_id(key) for key in self._records}
            example = f"record {self._records[0]}"
        if not self._photos or on_record is None:
            return
        photographed = {bin_id(key) for key in self._photos}
        number = len(photographed & on_record)
        among = f" the first {len(self._records):,} records" if self._records else f" {self._settings.records}"
        seen = f"of the first {len(photographed):,} bins photographed, {number:,} are in{among}"
        if number:
            yield Finding("ids", "ok", seen)
        else:
            yield Finding("ids", "?", f"{seen}; do the ids agree? photo {self._photos[0]}, {example}")


def _first_page(pages: Iterator[Page]) -> list[str]:
    """Its keys; none where nothing is listed."""
    page = next((page for page in pages if len(page)), None)
    if page is None:
        return []
    if isinstance(page, list):
        return [stored.key for stored in page]
    keys: list[str] = page["key"].to_pylist()
    return keys
