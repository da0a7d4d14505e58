"""Files that list the objects of a bucket, as CSV, Parquet or ORC: read some rows at a time, however many there are."""

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
UNKNOWN_SIZE = -1
"""Where a file does not tell how large an object is: neither empty nor too large."""
_NAMES = {
    "key": ("key", "objectkey", "imagekey"),
    "etag": ("etag", "imageetag"),
    "size": ("size", "bytes", "contentlength"),
    "modified": ("lastmodified", "lastmodifieddate", "modified", "photographedat"),
    "is_latest": ("islatest",),
    "is_delete_marker": ("isdeletemarker",),
    "bucket": ("bucket", "bucketname"),
}
"""What each column may be called, in small letters and without what is no letter."""
_ROWS_AT_ONCE = 50_000
_BLOCK_BYTES = 8 * 1024 * 1024
_MODIFIED = pa.timestamp("us", tz="UTC")
_SINCE_1970 = r"^(\d{9,10}|\d{12,13}|\d{15,16})(\.\d*)?$"
"""Seconds, milliseconds or microseconds from 1973 on; 20260102 and 20260102120000 are none."""


def read_key_file(path: Path, source: str, columns: Sequence[str] = (), *, encoded: bool = False) -> Iterator[pa.Table]:
    """Rows of key, size, etag, modified and, where there is one, bucket, some tens of thousands at a time.

    Versions that are not the latest and marks of deletion are left out, as is what the AWS console writes to show an
    empty folder.

    Args:
        path: on this machine; its ending says what it is.
        source: what the user calls it.
        columns: of a CSV that has no header.
        encoded: whether its keys are URL-encoded.

    Raises:
        ReconcileError: it cannot be read, or has no column for keys or etags.
    """
    try:
        for rows in _rows(path, source, columns):
            yield _plain(rows, encoded=encoded)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise ReconcileError(f"--keys {source} cannot be read: {first_line(error)}") from error


def _rows(path: Path, source: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Rows with our names of the columns, whatever their types."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        with pq.ParquetFile(path) as file:
            wanted = _find(file.schema_arrow.names, source)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(wanted)):
                yield pa.table(batch).rename_columns([wanted[name] for name in batch.schema.names])
    elif name.endswith(".orc"):
        from pyarrow import orc

        stripes = orc.ORCFile(path)
        wanted = _find(stripes.schema.names, source)
        for number in range(stripes.nstripes):
            stripe = pa.table(stripes.read_stripe(number, columns=list(wanted)))
            stripe = stripe.rename_columns([wanted[name] for name in stripe.schema.names])
            for start in range(0, len(stripe), _ROWS_AT_ONCE):
                yield stripe.slice(start, _ROWS_AT_ONCE)
    else:
        yield from _csv(path, source, columns)


def _csv(path: Path, source: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    names, delimiter = columns, ","
    if not names:
        with gzip.open(path) if is_gzip else path.open("rb") as lines:
            head = io.TextIOWrapper(lines, "utf-8-sig").readline()
        delimiter = max(",;\t", key=head.count)
        names = next(csv.reader([head], delimiter=delimiter), [])
    wanted = _find(names, source)
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


def _find(names: Sequence[str], source: str) -> dict[str, str]:
    """The file's names of the columns that are wanted, to ours."""
    plain = {"".join(filter(str.isalnum, name)).lower(): name for name in reversed(names)}
    found = {ours: next((plain[name] for name in known if name in plain), None) for ours, known in _NAMES.items()}
    missing = [name for name in ("key", "etag") if found[name] is None]
    if missing:
        there = ", ".join(names)[:200]
        raise ReconcileError(
            f"--keys {source} has no column {' and no column '.join(missing)} (its columns: {there}); "
            "of an S3 Inventory give manifest.json, and have ETag among its optional fields"
        )
    return {name: ours for ours, name in found.items() if name is not None}


def _plain(rows: pa.Table, *, encoded: bool) -> pa.Table:
    """The same in plain types, without what is no object (any more)."""
    keys = _text(rows["key"])
    if encoded:
        keys = _decoded(keys)
    size = _number(rows["size"]) if "size" in rows.column_names else None
    is_folder = pc.ends_with(keys, "/")
    keep = pc.and_(
        pc.not_equal(keys, ""), pc.invert(is_folder if size is None else pc.and_(is_folder, pc.equal(size, 0)))
    )
    if "is_latest" in rows.column_names:
        keep = pc.and_(keep, _flag(rows["is_latest"]))
    if "is_delete_marker" in rows.column_names:
        keep = pc.and_(keep, pc.invert(_flag(rows["is_delete_marker"])))
    modified = _time(rows["modified"]) if "modified" in rows.column_names else pa.nulls(len(rows), _MODIFIED)
    plain = {
        "key": keys,
        "size": pa.array([UNKNOWN_SIZE]).take(pa.array([0] * len(rows))) if size is None else size,
        "etag": pc.utf8_trim(_text(rows["etag"]), '"'),
        "modified": modified,
    }
    if "bucket" in rows.column_names:
        plain["bucket"] = _text(rows["bucket"])
    return pa.table(plain).filter(keep)


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), "")


def _decoded(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without URL-encoding; most keys have nothing that was encoded."""
    touched = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(touched).as_py():
        return keys
    return pa.chunked_array([pa.array([unquote_plus(key) for key in keys.to_pylist()], pa.string())])


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), None, column)
    return pc.fill_null(column.cast(pa.int64()), UNKNOWN_SIZE)


def _flag(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type):
        return pc.fill_null(column, False)
    return pc.equal(pc.utf8_lower(_text(column)), "true")


def _time(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As a timestamp; null where nothing can be made of it."""
    if pa.types.is_timestamp(column.type):
        local = column if column.type.tz else column.cast(pa.timestamp(column.type.unit, tz="UTC"))
        return local.cast(_MODIFIED, safe=False)
    if pa.types.is_floating(column.type):  # numbers of which some are missing, as pandas writes them
        column = pc.if_else(pc.is_finite(column), column, None).cast(pa.int64(), safe=False)
    text = _text(column)
    parsed = pd.to_datetime(text.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    moments = pa.chunked_array([pa.array(parsed, from_pandas=True).cast(_MODIFIED, safe=False)])
    is_number = pc.match_substring_regex(text, _SINCE_1970)
    if not pc.any(is_number).as_py():
        return moments
    number = pc.if_else(is_number, pc.replace_substring_regex(text, r"\..*", ""), None).cast(pa.int64())
    microseconds = pc.case_when(
        pc.make_struct(pc.less(number, 10**11), pc.less(number, 10**14)),
        pc.multiply(number, 10**6),
        pc.multiply(number, 10**3),
        number,
    )
    return pc.coalesce(microseconds.cast(_MODIFIED), moments)
