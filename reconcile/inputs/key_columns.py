"""Convert the columns of a key list to our types, and leave out rows that are not a current object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.inputs.cells import cell_text
from reconcile.inputs.quantities import is_blank
from reconcile.inputs.record_columns import CountColumn, convert_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconcile.inputs.tables.batches import Batch, Cells


UNKNOWN_SIZE = -1
"""The size of an object if the file does not state it. Such an object counts as not empty and not too large."""
_MODIFIED = pa.timestamp("us", tz="UTC")
_UNIX_TIME = r"^(\d{9,10}|\d{12,13}|\d{15,16})(\.\d*)?$"
"""Seconds, milliseconds or microseconds since 1970, from 1973 on. Dates such as 20260102 have other lengths."""


def convert_keys(batch: Batch, report: Callable[[int, str], None], *, encoded: bool = False) -> pa.Table:
    """Return the current objects in some rows of a key list.

    Args:
        batch: the rows, with the columns key and etag, and optionally size, modified, is_latest, is_delete_marker and
            bucket.
        report: called with the row and the problem for each row that is left out because it has no key, and for each
            size that cannot be read.
        encoded: whether the keys are URL-encoded.

    Returns:
        a table with the columns key, size, etag and modified, and the column bucket if the file has one. A size that
        cannot be read is UNKNOWN_SIZE, and a time that cannot be read is null.
    """
    cells = batch.cells
    keys = convert_texts(cells["key"])
    if encoded:
        keys = _url_decode(keys)
    is_named = pc.not_equal(keys, "")
    if not pc.all(is_named).as_py():
        for index in pc.indices_nonzero(pc.invert(is_named)).to_pylist():
            report(batch.lines[index], "the key is missing, so the row is left out")
    sizes = _as_sizes(cells["size"], batch.lines, report) if "size" in cells else None
    is_folder = pc.ends_with(keys, "/")
    if sizes is not None:
        is_folder = pc.and_(is_folder, pc.equal(sizes, 0))
    keep = pc.and_(is_named, pc.invert(is_folder))
    if "is_latest" in cells:
        keep = pc.and_(keep, pc.is_in(_as_lower(cells["is_latest"]), pa.array(["true", ""])))
    if "is_delete_marker" in cells:
        keep = pc.and_(keep, pc.not_equal(_as_lower(cells["is_delete_marker"]), "true"))
    columns = {
        "key": keys,
        "size": pa.repeat(UNKNOWN_SIZE, len(keys)) if sizes is None else sizes,
        "etag": pc.utf8_trim(convert_texts(cells["etag"]), '" '),
        "modified": _as_times(cells["modified"]) if "modified" in cells else pa.nulls(len(keys), _MODIFIED),
    }
    if "bucket" in cells:
        columns["bucket"] = convert_texts(cells["bucket"])
    return pa.table(columns).filter(keep)


def _url_decode(keys: pa.Array) -> pa.Array:
    is_encoded = pc.match_substring_regex(keys, "[%+]")
    if not pc.any(is_encoded).as_py():  # most files have no such key
        return keys
    return pa.array([unquote_plus(key) for key in keys.to_pylist()], pa.string())


def _as_sizes(cells: Cells, lines: Sequence[int], report: Callable[[int, str], None]) -> pa.Array:
    """Return sizes in bytes, with UNKNOWN_SIZE for missing ones and for those that cannot be read."""
    sizes, reasons = CountColumn(None).convert(cells, lines)
    for index, reason in reasons.items():
        cell: Any = cells[index] if isinstance(cells, list) else cells[index].as_py()
        if not is_blank(cell):
            problem = reason.removeprefix("the expected quantity is ")
            report(lines[index], f"the size is {problem}; the size of the object counts as unknown")
    return pc.fill_null(sizes, UNKNOWN_SIZE)


def _as_lower(cells: Cells) -> pa.Array:
    return pc.utf8_lower(pc.utf8_trim_whitespace(convert_texts(cells)))


def _as_array(cells: Cells) -> pa.Array:
    """Return cells as an array. Cells of several types become text."""
    if isinstance(cells, pa.Array):
        return cells
    try:
        return pa.array(cells)
    except (TypeError, OverflowError, pa.ArrowException):
        return pa.array([cell_text(cell) for cell in cells], pa.string())


def _as_times(cells: Cells) -> pa.Array:
    """Return timestamps from ISO 8601 or Unix times. A value that cannot be parsed becomes null."""
    column = _as_array(cells)
    if pa.types.is_timestamp(column.type):
        zoned = column if column.type.tz else column.cast(pa.timestamp(column.type.unit, tz="UTC"))
        return zoned.cast(_MODIFIED, safe=False)
    if pa.types.is_floating(column.type):  # pandas writes integers with missing values as floats
        column = column.cast(pa.float64())
        is_time = pc.and_(pc.is_finite(column), pc.less(pc.abs(column), 2.0**53))
        column = pc.if_else(is_time, column, None).cast(pa.int64(), safe=False)
    texts = convert_texts(column)
    parsed = pd.to_datetime(texts.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    times = pa.array(parsed, from_pandas=True).cast(_MODIFIED, safe=False)
    is_number = pc.match_substring_regex(texts, _UNIX_TIME)
    if not pc.any(is_number).as_py():
        return times
    number = pc.if_else(is_number, pc.replace_substring_regex(texts, r"\..*", ""), None).cast(pa.int64())
    microseconds = pc.case_when(
        pc.make_struct(pc.less(number, 10**11), pc.less(number, 10**14)),
        pc.multiply(number, 10**6),
        pc.multiply(number, 10**3),
        number,
    )
    return pc.coalesce(microseconds.cast(_MODIFIED), times)
