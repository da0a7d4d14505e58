"""Read tables from Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.inputs.tables.batches import ROWS_AT_ONCE, Batch, Table, readable
from reconcile.inputs.tables.columns import find_columns, missing_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.inputs.tables.columns import TableRequest


_BUFFER_BYTES = 1024 * 1024
"""Bytes that are read at a time, because a file may have one row group for all its rows."""


def open_parquet(path: Path, request: TableRequest) -> Table:
    """Find the columns of a Parquet file. Rows are numbered from 1.

    Args:
        path: the file on this machine.
        request: the wanted columns.

    Raises:
        UsageError: the file lacks a column, or has two columns of one name.
        ReconcileError: the file cannot be read.
    """
    with readable(request.label), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
    positions = find_columns(names, request)
    if positions is None:
        raise missing_columns(names, request)

    def read() -> Iterator[Batch]:
        wanted = {ours: names[index] for ours, index in positions.items()}
        number = 1
        with readable(request.label), pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            for rows in file.iter_batches(4 * ROWS_AT_ONCE, columns=list(dict.fromkeys(wanted.values()))):
                yield Batch(range(number, number + len(rows)), {ours: rows[name] for ours, name in wanted.items()})
                number += len(rows)

    return Table(read)


def as_strings(column: pa.Array) -> pa.Array:
    """Return a column of text as strings. Bytes that are not valid UTF-8 are replaced.

    Args:
        column: an array of strings, of binary data or of a dictionary of these.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        column = column.cast(pa.string())
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = column.cast(pa.binary()).to_pylist()
        return pa.array([value if value is None else value.decode("utf-8", "replace") for value in values], pa.string())
    return column
