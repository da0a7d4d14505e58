"""What `reconcile doctor` looks at of photos and records: whether they can be read, and are of the same bins."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconcile.database import open_database
from reconcile.doctor.checks import CheckResult, run_check
from reconcile.errors import ReconcileError
from reconcile.inputs.bin_ids import bin_id, ids_rarely_match
from reconcile.inputs.listing import InputListing, lie_together
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from reconcile.inputs.records_table import load_table
from reconcile.resources import query
from reconcile.storage.open import download_file, open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings
    from reconcile.inputs.pages import Page
    from reconcile.storage.base import Bucket


def check_inputs(settings: Settings) -> Iterator[CheckResult]:
    """Look at photos and records: at the first page of a listing, and at all of a table."""
    with tempfile.TemporaryDirectory() as work:
        looking = _InputChecks(settings, Path(work))
        if settings.bucket:
            yield from looking.at_bucket()
        else:
            yield CheckResult("bucket", "?", "not looked at, since none was named (say --bucket); everything else was")
        if settings.records is not None:
            yield run_check("records", lambda: looking.at_table(str(settings.records)))
        yield from looking.at_ids()


class _InputChecks:
    """What was seen so far."""

    def __init__(self, settings: Settings, work: Path) -> None:
        self._settings, self._work = settings, work
        self._photos: list[str] = []
        """Keys of the first page."""
        self._on_record: _OnRecord | None = None

    def at_bucket(self) -> Iterator[CheckResult]:
        settings = self._settings
        try:
            bucket = open_bucket(settings.bucket, settings.s3_access())
        except ReconcileError as error:
            yield CheckResult("bucket", "FAIL", str(error))
            return
        try:
            listing = InputListing(settings, bucket, self._work)
        except ReconcileError as error:
            yield CheckResult("keys", "FAIL", str(error))
            return
        if listing.keys is not None:
            yield CheckResult("keys", "ok", listing.keys.in_words())
        yield run_check("photos", lambda: self._at_photos(bucket, listing))
        if settings.records is None:
            yield run_check("records", lambda: self._at_records(bucket, listing))

    def _at_photos(self, bucket: Bucket, listing: InputListing) -> str:
        self._photos = _first_page(listing.photos())
        if not self._photos:
            raise ReconcileError(self._nothing(bucket, "photos", self._settings.images_prefix, "--images-prefix"))
        return self._first(bucket, self._photos[0], self._settings.images_prefix)[0]

    def _at_records(self, bucket: Bucket, listing: InputListing) -> str:
        keys = _first_page(listing.records())
        if not keys:
            raise ReconcileError(self._nothing(bucket, "records", self._settings.records_prefix, "--records-prefix"))
        bins = {bin_id(key) for key in keys}
        self._on_record = _OnRecord(bins, len(bins), f"the first {len(keys):,} records", f"record {keys[0]}")
        text, data = self._first(bucket, keys[0], self._settings.records_prefix)
        try:
            parse_abid_record(data)
        except InvalidRecord as error:  # it will be a row that says so, and others may be sound
            return f"{text}, but is no record: {error}"
        return text

    def _nothing(self, bucket: Bucket, what: str, prefix: str, flag: str) -> str:
        both = " (where both lie, records are what ends in .json)" if lie_together(self._settings) else ""
        return f"no {what} under {bucket.url(prefix)}{both}; is {flag} right?"

    def _first(self, bucket: Bucket, key: str, prefix: str) -> tuple[str, bytes]:
        """What is to be said of the first object under a prefix, and its bytes."""
        data = bucket.get(key)
        what = "can be listed" if self._settings.keys is None else "has keys"
        return f"{bucket.url(prefix)} {what}, and {key} can be read ({len(data):,} bytes)", data

    def at_table(self, source: str) -> str:
        settings = self._settings
        with open_database(self._work) as database:
            path = download_file(source, settings.s3_access(), self._work)
            load_table(database, path, source, settings.columns_of_table, self._work)
            rows = len(database.table("source_rows"))
            if not rows:
                raise ReconcileError(f"{source} has the columns that are needed, and not one row")
            database.execute(f"CREATE TABLE rows AS {query('inputs/records_from_table')}")
            sound, reason = database.execute(
                "SELECT count(*) FILTER (reason IS NULL), min(reason) FROM rows"
            ).fetchall()[0]
            if not sound:
                raise ReconcileError(f"{source} has {rows:,} rows, and none is a record: {reason}")
            database.execute(
                "CREATE TABLE bins AS SELECT bin_id AS bin, count(DISTINCT expected_quantity) > 1 AS is_torn "
                "FROM rows WHERE bin_id IS NOT NULL GROUP BY bin_id"
            )
            number, first, torn = database.execute(
                "SELECT count(*), min(bin), count(*) FILTER (is_torn) FROM bins"
            ).fetchall()[0]
            if torn == number:
                raise ReconcileError(f"{source} has several rows for each bin, which disagree; a bin needs one")
            photographed = {"bins": [bin_id(key) for key in self._photos]}
            found = database.execute(
                "SELECT bin FROM bins WHERE bin IN (SELECT unnest($bins))", photographed
            ).fetchall()
        self._on_record = _OnRecord({name for (name,) in found}, number, source, f"row of bin {first}")
        broken = f", {rows - sound:,} of them invalid (such as: {reason})" if sound < rows else ""
        broken += f"; the rows of {torn:,} of {number:,} bins disagree" if torn else ""
        return f"{source} has {rows:,} rows with the columns that are needed{broken}"

    def at_ids(self) -> Iterator[CheckResult]:
        """Whether photos and records are of the same bins, as far as that was seen."""
        if not self._photos or self._on_record is None:
            return
        photographed = {bin_id(key): key for key in self._photos}
        met = len(photographed.keys() & self._on_record.bins)
        seen = f"of the first {len(photographed):,} bins photographed, {met:,} are in {self._on_record.among}"
        if ids_rarely_match(met, min(len(photographed), self._on_record.number) - met):
            photo = next(key for name, key in photographed.items() if name not in self._on_record.bins)
            yield CheckResult("ids", "?", f"{seen}; do the ids agree? photo {photo}, {self._on_record.example}")
        else:
            yield CheckResult("ids", "ok", seen)


class _OnRecord(NamedTuple):
    """What was seen of records."""

    bins: set[str]
    """That have one; of a table, only those of the photos."""
    number: int
    """Of all bins that were seen to have one."""
    among: str
    example: str


def _first_page(pages: Iterator[Page]) -> list[str]:
    """Its keys; none where nothing is listed."""
    page = next((page for page in pages if len(page)), None)
    if page is None:
        return []
    if isinstance(page, list):
        return [stored.key for stored in page]
    keys: list[str] = page["key"].to_pylist()
    return keys
