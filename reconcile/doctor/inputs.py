"""Check that photos and records can be read and share bin ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reconcile.database import open_database
from reconcile.doctor.checks import CheckResult, run_check
from reconcile.errors import ReconcileError
from reconcile.inputs.bin_ids import bin_id, bins_in_several_folders, ids_rarely_match
from reconcile.inputs.listing import InputListing, prefixes_overlap
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from reconcile.inputs.records_table import load_table
from reconcile.inputs.table_options import TableOptions
from reconcile.inputs.tables.formats import split_sheet
from reconcile.resources import query
from reconcile.storage.open import download_file, open_bucket
from reconcile.temporary import temporary_folder
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

    from reconcile.config import Settings
    from reconcile.inputs.pages import Page
    from reconcile.storage.base import Bucket


def check_inputs(settings: Settings) -> Iterator[CheckResult]:
    """Check photos and records: the first page of a listing, and all rows of a table."""
    with temporary_folder() as scratch:
        checks = _InputChecks(settings, scratch)
        if settings.bucket:
            yield from checks.check_bucket()
        else:
            yield CheckResult("bucket", "?", "not checked, because no bucket is given; set --bucket")
        if settings.records is not None:
            yield run_check("records", lambda: checks.check_table(str(settings.records)))
        yield from checks.check_bin_ids()


class _InputChecks:
    """Checks of photos and records. The last one compares the bin ids that the others have seen."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self._settings, self._scratch = settings, scratch
        self._photos: list[str] = []
        """Keys of the first page."""
        self._recorded: _RecordedBins | None = None

    def check_bucket(self) -> Iterator[CheckResult]:
        settings, warnings = self._settings, list[str]()
        try:
            bucket = open_bucket(settings.bucket, settings.s3_access(), warn=warnings.append)
        except ReconcileError as error:
            yield CheckResult("bucket", "FAIL", str(error))
            return
        if bucket.address is not None:
            yield CheckResult("bucket", "ok", f"{bucket.location} is at {bucket.address}")
        try:
            listing = InputListing(settings, bucket, self._scratch, warnings.append)
        except ReconcileError as error:
            yield CheckResult("keys", "FAIL", str(error))
            return
        if listing.keys is not None:
            yield CheckResult("keys", "ok", listing.keys.describe())
        yield run_check("photos", lambda: self._check_photos(bucket, listing))
        repeated = bins_in_several_folders(self._photos)
        if repeated:
            first, second = repeated[0]
            yield CheckResult(
                "photos",
                "?",
                f"of the first {len(self._photos):,} photos, {plural(len(repeated), 'bin')} in several folders: photos "
                f"with the same file name, such as {first} and {second}, belong to one bin; are these different bins?",
            )
        if settings.records is None:
            yield run_check("records", lambda: self._check_records(bucket, listing))
        for warning in warnings:
            yield CheckResult("keys" if warning.startswith("--keys") else "bucket", "?", warning)

    def _check_photos(self, bucket: Bucket, listing: InputListing) -> str:
        self._photos = _first_page(listing.photos())
        if not self._photos:
            raise self._nothing_found(bucket, "photos", self._settings.images_prefix, "--images-prefix")
        return self._read_first(bucket, self._photos[0], self._settings.images_prefix)[0]

    def _check_records(self, bucket: Bucket, listing: InputListing) -> str:
        keys = _first_page(listing.records())
        if not keys:
            raise self._nothing_found(bucket, "records", self._settings.records_prefix, "--records-prefix")
        bins = {bin_id(key) for key in keys}
        self._recorded = _RecordedBins(bins, len(bins), f"the first {len(keys):,} records", f"record {keys[0]}")
        text, data = self._read_first(bucket, keys[0], self._settings.records_prefix)
        try:
            parse_abid_record(data)
        except InvalidRecord as error:  # a run reports this record, and the others may be valid
            return f"{text}, but it is not a valid record: {error}"
        return text

    def _nothing_found(self, bucket: Bucket, what: str, prefix: str, flag: str) -> ReconcileError:
        is_shared = prefixes_overlap(self._settings)
        hint = " (in a folder with photos and records, records end in .json)" if is_shared else ""
        return ReconcileError(f"there are no {what} under {bucket.url(prefix)}{hint}; is {flag} right?")

    def _read_first(self, bucket: Bucket, key: str, prefix: str) -> tuple[str, bytes]:
        """Read the first object under a prefix. Return a sentence about it, and its bytes."""
        data = bucket.get(key)
        listed = "can be listed" if self._settings.keys is None else "has keys"
        return f"{bucket.url(prefix)} {listed}, and {key} can be read ({len(data):,} bytes)", data

    def check_table(self, source: str) -> str:
        """Check every row of a table of records, and note the bins that also have a photo.

        Raises:
            ReconcileError: the table cannot be used, no row is a valid record, or every bin has rows that contradict
                each other.
        """
        settings = self._settings
        with open_database(self._scratch) as database:
            path = download_file("--records", split_sheet(source)[0], settings.s3_access(), self._scratch)
            notes = load_table(database, path, source, TableOptions.from_settings(settings))
            text = _check_rows(database, source, has_products=TableOptions.from_settings(settings).has_products)
            bins, first, conflicting = _bins_of_rows(database)
            if conflicting == bins:
                raise ReconcileError(f"{source} has rows with different quantities for every bin; a bin needs one row")
            photographed = {"bins": [bin_id(key) for key in self._photos]}
            matched = database.execute(
                "SELECT bin FROM bins WHERE bin IN (SELECT unnest($bins))", photographed
            ).fetchall()
        self._recorded = _RecordedBins({name for (name,) in matched}, bins, source, f"the row of bin {first}")
        conflicts = f"; {conflicting:,} of {bins:,} bins have rows with different quantities" if conflicting else ""
        return text + conflicts + "".join(f"; {note.removeprefix(f'--records {source}: ')}" for note in notes)

    def check_bin_ids(self) -> Iterator[CheckResult]:
        """Check that photos and records have bins in common, if both were seen."""
        if not self._photos or self._recorded is None:
            return
        photographed = {bin_id(key): key for key in self._photos}
        matched = len(photographed.keys() & self._recorded.bins)
        seen = f"of the first {len(photographed):,} photographed bins, {matched:,} are in {self._recorded.source}"
        if ids_rarely_match(matched, min(len(photographed), self._recorded.number) - matched):
            photo = next(key for name, key in photographed.items() if name not in self._recorded.bins)
            example = f"compare photo {photo} with {self._recorded.example}"
            yield CheckResult("ids", "?", f"{seen}; are the bin ids the same? {example}")
        else:
            yield CheckResult("ids", "ok", seen)


class _RecordedBins(NamedTuple):
    """Bins that have a record."""

    bins: set[str]
    """Their ids. If the records are a table, only the ids that are also in the first page of photos."""
    number: int
    """The number of bins with a record."""
    source: str
    """The location of the records, as text for messages."""
    example: str
    """One record, as text for messages."""


def _check_rows(database: duckdb.DuckDBPyConnection, source: str, *, has_products: bool) -> str:
    """Create the table `rows` of all records, and return how many rows there are and how many are invalid."""
    rows = len(database.table("source_rows"))
    if not rows:
        raise ReconcileError(f"{source} has the required columns, but no rows")
    records = "records_from_products" if has_products else "records_from_table"
    database.execute(f"CREATE TABLE rows AS {query(f'inputs/{records}')}")
    valid, reason = database.execute("SELECT count(*) FILTER (reason IS NULL), min(reason) FROM rows").fetchall()[0]
    if not valid:
        raise ReconcileError(f"{source} has {rows:,} rows, but none is a valid record: {reason}")
    invalid = f", {rows - valid:,} of them invalid (for example: {reason})" if valid < rows else ""
    return f"{source} has {rows:,} rows with the required columns{invalid}"


def _bins_of_rows(database: duckdb.DuckDBPyConnection) -> tuple[int, str, int]:
    """Create the table `bins` from `rows`.

    Returns:
        the number of bins, the first id, and the number of bins with several quantities.
    """
    database.execute(
        "CREATE TABLE bins AS SELECT bin_id AS bin, count(DISTINCT expected_quantity) > 1 AS is_conflicting "
        "FROM rows WHERE bin_id IS NOT NULL GROUP BY bin_id"
    )
    number, first, conflicting = database.execute(
        "SELECT count(*), min(bin), count(*) FILTER (is_conflicting) FROM bins"
    ).fetchall()[0]
    return number, first, conflicting


def _first_page(pages: Iterator[Page]) -> list[str]:
    """Return the keys of the first page that is not empty; an empty list if nothing is listed."""
    page = next((page for page in pages if len(page)), None)
    if page is None:
        return []
    if isinstance(page, list):
        return [stored.key for stored in page]
    keys: list[str] = page["key"].to_pylist()
    return keys
