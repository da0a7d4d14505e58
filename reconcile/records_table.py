"""Expected quantities from one table: CSV, Parquet or JSON Lines."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import duckdb

from reconcile.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_COLUMNS = {"bin_id": "bin_id", "expected_quantity": "expected_quantity"}
# Bin ids are often given as the photo's file name.
_FILE_ENDING = r"\.(jpe?g|png|webp|tiff?|bmp|gif|json)$"
_LONGEST_LINE = 16 * 1024 * 1024


def table_format(source: str) -> str:
    """csv, parquet or jsonl, by the file's ending (`.gz` aside).

    Raises:
        UsageError: another ending.

    """
    name = PurePosixPath(source).name.lower().removesuffix(".gz").removesuffix(".zst")
    formats = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    found = formats.get(PurePosixPath(name).suffix)
    if found is None:
        raise UsageError(f"--records {source}: expected a file ending in {', '.join(formats)}")
    return found


def table_rows(
    database: duckdb.DuckDBPyConnection, path: Path, source: str, columns: Mapping[str, str]
) -> duckdb.DuckDBPyRelation:
    """Every row of the table as text; nothing is checked yet.

    Args:
        database: where the relation is made.
        path: the file on this machine.
        source: what the user calls it.
        columns: our names (bin_id, expected_quantity) to the table's, where they differ.

    Returns:
        source, line (1 for the first row of data), bin_id, quantity; a line of JSON Lines that is no object has
        neither of the last two.

    Raises:
        UsageError: a column is not there, or the ending is not known.
        ReconcileError: the file cannot be read as what its ending says.

    """
    wanted = DEFAULT_COLUMNS | dict(columns)
    kind = table_format(source)
    try:
        if kind == "jsonl":
            names = {ours: "/" + column.replace("~", "~0").replace("/", "~1") for ours, column in wanted.items()}
            texts = {ours: f"json_extract_string(text, {_literal(pointer)})" for ours, pointer in names.items()}
            return _as_rows(_lines(database, path), source, texts)
        if kind == "parquet":
            table = database.read_parquet(str(path))
        else:
            table = database.read_csv(str(path), all_varchar=True, header=True, null_padding=True, strict_mode=False)
        names = {ours: _find(column, table.columns, ours, source) for ours, column in wanted.items()}
        return _as_rows(table, source, {ours: f"{_quoted(name)}::VARCHAR" for ours, name in names.items()})
    except duckdb.Error as error:
        raise ReconcileError(f"--records {source} cannot be read: {str(error).splitlines()[0][:300]}") from None


def _as_rows(table: duckdb.DuckDBPyRelation, source: str, expressions: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    return table.project(
        f"{_literal(source)} AS source, row_number() OVER () AS line, "
        f"regexp_replace({expressions['bin_id']}, '{_FILE_ENDING}', '', 'i') AS bin_id, "
        f"{expressions['expected_quantity']} AS quantity"
    )


def _lines(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Each line of JSON Lines is taken as text first, so that a broken one stays a row: its text is null."""
    lines = database.read_csv(
        str(path), columns={"text": "VARCHAR"}, header=False, delimiter="\x1f", quotechar="", escapechar="",
        max_line_size=_LONGEST_LINE, auto_detect=False, strict_mode=False,
    )  # fmt: skip
    return lines.project("CASE WHEN json_valid(text) THEN text END AS text")


def _find(column: str, available: Sequence[str], ours: str, source: str) -> str:
    for name in available:
        if name.lower() == column.lower():
            return name
    has = ", ".join(available[:12])
    raise UsageError(f"{source} has no column {column!r}, but {has}; say which with --records-columns {ours}=COLUMN")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
