"""Read key lists from CSV, Parquet or ORC, some rows at a time."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from reconcile.errors import ReconcileError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".orc")
"""The file name endings of key lists."""
UNKNOWN_SIZE = -1
"""The size of an object if the file does not state it. Such an object counts as not empty and not too large."""
_NAMES = {
    "key": ("key", "objectkey", "imagekey"),
    "etag": ("etag", "imageetag"),
    "size": ("size", "bytes", "contentlength"),
    "modified": ("lastmodified", "lastmodifieddate", "modified", "photographedat"),
    "is_latest": ("islatest",),
    "is_delete_marker": ("isdeletemarker",),
    "bucket": ("bucket", "bucketname"),
}
"""The accepted names of each column, in lower case and with letters and digits only."""
_ROWS_AT_ONCE = 50_000
_BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes of CSV that are parsed at a time."""
_MODIFIED = pa.timestamp("us", tz="UTC")
_UNIX_TIME = r"^(\d{9,10}|\d{12,13}|\d{15,16})(\.\d*)?$"
"""Seconds, milliseconds or microseconds since 1970, from 1973 on. Dates such as 20260102 have other lengths."""


def read_key_file(path: Path, source: str, columns: Sequence[str] = (), *, encoded: bool = False) -> Iterator[pa.Table]:
    """Read the rows of a key list, some tens of thousands at a time.

    Old versions, delete markers and folder markers are left out. The AWS console writes folder markers to show empty
    folders.

    Args:
        path: the file on this machine. Its ending decides its format.
        source: the file as the user named it.
        columns: the column names of a CSV file without a header.
        encoded: whether the keys are URL-encoded.

    Yields:
        tables with the columns key, size, etag and modified, and the column bucket if the file has one.

    Raises:
        ReconcileError: the file cannot be read, or has no column for keys or for ETags.
    """
    try:
        for rows in _read_rows(path, source, columns):
            yield _normalize(rows, encoded=encoded)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise ReconcileError(f"--keys {source} cannot be read: {first_line(error)}") from error


def _read_rows(path: Path, source: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read the wanted columns under our names, with the types that the file has."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        with pq.ParquetFile(path) as file:
            wanted = _match_columns(file.schema_arrow.names, source)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(wanted)):
                yield pa.table(batch).rename_columns([wanted[name] for name in batch.schema.names])
    elif name.endswith(".orc"):
        from pyarrow import orc

        stripes = orc.ORCFile(path)
        wanted = _match_columns(stripes.schema.names, source)
        for number in range(stripes.nstripes):
            stripe = pa.table(stripes.read_stripe(number, columns=list(wanted)))
            stripe = stripe.rename_columns([wanted[name] for name in stripe.schema.names])
            for start in range(0, len(stripe), _ROWS_AT_ONCE):
                yield stripe.slice(start, _ROWS_AT_ONCE)
    else:
        yield from _read_csv(path, source, columns)


def _read_csv(path: Path, source: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    names, delimiter = columns, ","
    if not names:
        with gzip.open(path) if is_gzip else path.open("rb") as lines:
            header = io.TextIOWrapper(lines, "utf-8-sig").readline()
        delimiter = max(",;\t", key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
    wanted = _match_columns(names, source)
    with (
        pa.input_stream(str(path), compression="gzip" if is_gzip else None) as stream,
        pacsv.open_csv(
            stream,
            pacsv.ReadOptions(column_names=list(names), skip_rows=0 if columns else 1, block_size=_BLOCK_BYTES),
            pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pacsv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=list(wanted)),
        ) as reader,
    ):
        for batch in reader:
            yield pa.table(batch).rename_columns([wanted[name] for name in batch.schema.names])


def _match_columns(names: Sequence[str], source: str) -> dict[str, str]:
    """Return the file's names of the wanted columns, mapped to our names."""
    by_letters = {"".join(filter(str.isalnum, name)).lower(): name for name in reversed(names)}
    matched = {
        ours: next((by_letters[name] for name in accepted if name in by_letters), None)
        for ours, accepted in _NAMES.items()
    }
    missing = [name for name in ("key", "etag") if matched[name] is None]
    if missing:
        existing = ", ".join(names)[:200]
        raise ReconcileError(
            f"--keys {source} has no column {' and no column '.join(missing)} (its columns: {existing}); "
            "for an S3 Inventory, name its manifest.json and add ETag to its optional fields"
        )
    return {name: ours for ours, name in matched.items() if name is not None}


def _normalize(rows: pa.Table, *, encoded: bool) -> pa.Table:
    """Convert rows to our types, and leave out rows that are not a current object."""
    keys = _as_text(rows["key"])
    if encoded:
        keys = _url_decode(keys)
    size = _as_size(rows["size"]) if "size" in rows.column_names else None
    is_folder = pc.ends_with(keys, "/")
    keep = pc.and_(
        pc.not_equal(keys, ""), pc.invert(is_folder if size is None else pc.and_(is_folder, pc.equal(size, 0)))
    )
    if "is_latest" in rows.column_names:
        keep = pc.and_(keep, _as_flag(rows["is_latest"]))
    if "is_delete_marker" in rows.column_names:
        keep = pc.and_(keep, pc.invert(_as_flag(rows["is_delete_marker"])))
    modified = _as_time(rows["modified"]) if "modified" in rows.column_names else pa.nulls(len(rows), _MODIFIED)
    columns = {
        "key": keys,
        "size": pa.array([UNKNOWN_SIZE]).take(pa.array([0] * len(rows))) if size is None else size,
        "etag": pc.utf8_trim(_as_text(rows["etag"]), '"'),
        "modified": modified,
    }
    if "bucket" in rows.column_names:
        columns["bucket"] = _as_text(rows["bucket"])
    return pa.table(columns).filter(keep)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), "")


def _url_decode(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    is_encoded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(is_encoded).as_py():  # most files have no such key
        return keys
    return pa.chunked_array([pa.array([unquote_plus(key) for key in keys.to_pylist()], pa.string())])


def _as_size(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return sizes in bytes, with UNKNOWN_SIZE for missing ones."""
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), None, column)
    return pc.fill_null(column.cast(pa.int64()), UNKNOWN_SIZE)


def _as_flag(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False)
    return pc.equal(pc.utf8_lower(_as_text(column)), "true")


def _as_time(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return timestamps from ISO 8601 or Unix times. A value that cannot be parsed becomes null."""
    if pa.types.is_timestamp(column.type):
        zoned = column if column.type.tz else column.cast(pa.timestamp(column.type.unit, tz="UTC"))
        return zoned.cast(_MODIFIED, safe=False)
    if pa.types.is_floating(column.type):  # pandas writes integers with missing values as floats
        column = pc.if_else(pc.is_finite(column), column, None).cast(pa.int64(), safe=False)
    text = _as_text(column)
    parsed = pd.to_datetime(text.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    times = pa.chunked_array([pa.array(parsed, from_pandas=True).cast(_MODIFIED, safe=False)])
    is_number = pc.match_substring_regex(text, _UNIX_TIME)
    if not pc.any(is_number).as_py():
        return times
    number = pc.if_else(is_number, pc.replace_substring_regex(text, r"\..*", ""), None).cast(pa.int64())
    microseconds = pc.case_when(
        pc.make_struct(pc.less(number, 10**11), pc.less(number, 10**14)),
        pc.multiply(number, 10**6),
        pc.multiply(number, 10**3),
        number,
    )
    return pc.coalesce(microseconds.cast(_MODIFIED), times)
