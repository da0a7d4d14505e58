"""Read key lists from tables and from the files of an S3 Inventory, some rows at a time."""

from __future__ import annotations

import gzip
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pacsv

from reconcile.errors import ReconcileError, first_line
from reconcile.inputs.key_columns import convert_keys
from reconcile.inputs.tables import formats
from reconcile.inputs.tables.batches import Batch
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, find_columns, fold_letters, missing_columns
from reconcile.inputs.tables.open import open_table
from reconcile.inputs.tables.parquet import open_parquet
from reconcile.inputs.tables.text_files import is_gzip
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


_ORC = ".orc"
ENDINGS = (*formats.ENDINGS, _ORC)
"""The file name endings of key lists. Text formats may have an additional `.gz`."""
_NAMES = {
    "key": ("key", "objectkey", "imagekey", "Key"),
    "etag": ("etag", "imageetag", "ETag"),
    "size": ("size", "bytes", "contentlength", "Size"),
    "modified": ("lastmodified", "lastmodifieddate", "modified", "photographedat", "last_modified", "LastModified"),
    "is_latest": ("islatest", "is_latest", "IsLatest"),
    "is_delete_marker": ("isdeletemarker", "is_delete_marker", "IsDeleteMarker"),
    "bucket": ("bucket", "bucketname", "Bucket"),
}
"""The accepted names of each column. JSON Lines need these names exactly. In other formats, case, spaces and marks make
no difference."""
_ROWS_AT_ONCE = 50_000
_BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes of CSV that are parsed at a time."""
_MOST_REPORTED = 10
"""The most rows of a file that are reported one by one."""


class KeyFileReader:
    """Reads the files of one key list, and reports the rows that cannot be used.

    Args:
        source: the list as the user named it. It may name a sheet: `keys.xlsx#Sheet2`.
        warn: called with one message per row that is left out or has no usable size. Only the first rows of a file are
            reported.
    """

    def __init__(self, source: str, warn: Callable[[str], None]) -> None:
        self._source, self._warn = source, warn

    def read_table(self, path: Path) -> Iterator[pa.Table]:
        """Read a table with a header.

        Args:
            path: the file on this machine. Its content and the name in `source` decide its format.

        Yields:
            tables as `convert_keys` returns them.

        Raises:
            UsageError: the table lacks a column for keys or for ETags, or has two of them.
            ReconcileError: the file cannot be read.
        """
        label = f"--keys {self._source}"
        request = self._request(label)
        if self._source.lower().endswith(_ORC):
            batches = _read_orc(path, request)
        else:
            batches = open_table(path, self._source, request).read()
        yield from self._convert(batches, label)

    def read_inventory_file(self, path: Path, key: str, file_format: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read one data file of an S3 Inventory.

        Args:
            path: the file on this machine.
            key: the key of the file, which messages name.
            file_format: CSV, Parquet or ORC, in any case.
            columns: the column names of CSV files, which have no header.

        Yields:
            tables as `convert_keys` returns them.

        Raises:
            UsageError: the file lacks a column for keys or for ETags.
            ReconcileError: the file cannot be read.
        """
        label = f"--keys {self._source}: {key}"
        request = self._request(label)
        is_csv = file_format.lower() == "csv"
        if is_csv:
            batches = _read_csv_without_header(path, columns, request, self._warn)
        elif file_format.lower() == "orc":
            batches = _read_orc(path, request)
        else:
            batches = open_parquet(path, request).read()
        yield from self._convert(batches, label, encoded=is_csv)

    def _request(self, label: str) -> TableRequest:
        def ignore(problem: str) -> None:
            self._warn(f"{problem}; none of them is read")

        columns = {
            ours: WantedColumn(names, ours in ("key", "etag"), ignore if ours in ("size", "modified") else None)
            for ours, names in _NAMES.items()
        }
        hint = "for an S3 Inventory, name its manifest.json and add ETag to its optional fields"
        return TableRequest(label, label, columns, fold_letters, lambda missing: hint)

    def _convert(self, batches: Iterator[Batch], label: str, *, encoded: bool = False) -> Iterator[pa.Table]:
        reported = 0

        def report(line: int, problem: str) -> None:
            nonlocal reported
            reported += 1
            if reported <= _MOST_REPORTED:
                self._warn(f"{label} row {line}: {problem}")
            elif reported == _MOST_REPORTED + 1:
                self._warn(f"{label}: more rows have such problems; only the first {_MOST_REPORTED} are listed")

        for batch in batches:
            for row in batch.unreadable:
                report(row.line, f"{row.reason}; the row is left out")
            if len(batch.lines):
                yield convert_keys(batch, report, encoded=encoded)


def is_key_file(name: str) -> bool:
    """Return whether a file name has the ending of a table of keys."""
    return name.lower().endswith(_ORC) or formats.format_of_name(name) is not None


@contextmanager
def _readable(label: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        raise ReconcileError(f"{label} cannot be read: {first_line(error)}") from None


def _positions(names: Sequence[str], request: TableRequest) -> dict[str, int]:
    positions = find_columns(names, request)
    if positions is None:
        raise missing_columns(names, request)
    return positions


def _read_orc(path: Path, request: TableRequest) -> Iterator[Batch]:
    from pyarrow import orc

    with _readable(request.label):
        file = orc.ORCFile(path)
        names = file.schema.names
        wanted = {ours: names[index] for ours, index in _positions(names, request).items()}
        number = 1
        for stripe in range(file.nstripes):
            rows = file.read_stripe(stripe, columns=list(dict.fromkeys(wanted.values())))
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = rows.slice(start, _ROWS_AT_ONCE)
                yield Batch(range(number, number + len(part)), {ours: part[name] for ours, name in wanted.items()})
                number += len(part)


def _read_csv_without_header(
    path: Path, columns: Sequence[str], request: TableRequest, warn: Callable[[str], None]
) -> Iterator[Batch]:
    """Read CSV as S3 writes it. pyarrow reads it several times faster than `tables.csv_table`."""
    wanted = {ours: columns[index] for ours, index in _positions(columns, request).items()}

    def leave_out(row: pacsv.InvalidRow) -> str:
        cells = plural(row.actual_columns, "cell")
        warn(f"{request.label}: a row with {cells} instead of {row.expected_columns} is left out: {row.text[:100]}")
        return "skip"

    with _readable(request.label):
        if not _has_rows(path):
            return
        with (
            pa.input_stream(str(path), compression="gzip" if is_gzip(path) else None) as stream,
            pacsv.open_csv(
                stream,
                pacsv.ReadOptions(column_names=list(columns), block_size=_BLOCK_BYTES),
                pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=leave_out),
                pacsv.ConvertOptions(
                    # Bytes that are not valid UTF-8 would end the reading of text.
                    column_types=dict.fromkeys(wanted.values(), pa.binary()),
                    include_columns=list(wanted.values()),
                ),
            ) as reader,
        ):
            number = 1
            for rows in reader:
                cells = {ours: rows[name] for ours, name in wanted.items()}
                yield Batch(range(number, number + len(rows)), cells)
                number += len(rows)


def _has_rows(path: Path) -> bool:
    with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
        return bool(file.read(1))
