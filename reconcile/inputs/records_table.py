"""Load records from CSV, Parquet or JSON Lines."""

from __future__ import annotations

import codecs
import gzip
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from reconcile.database import literal, literal_path
from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.inputs.spreadsheet_csv import BrokenRow, read_csv_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


DEFAULT_COLUMNS = {"bin_id": "bin_id", "expected_quantity": "expected_quantity"}
"""The columns that every table needs: our names and, unless the user names others, those of the table."""
_FILE_ENDING = r"\.(jpe?g|png|webp|tiff?|bmp|gif|json)$"
"""An ending that is removed from bin ids, because they are often given as the photo's file name."""
_MAX_LINE_BYTES = 16 * 1024 * 1024
_ROWS_AT_ONCE = 50_000
_CSV_SCHEMA = pa.schema(
    [("line", pa.int64()), ("bin_id", pa.string()), ("expected_quantity", pa.string()), ("changed_at", pa.string())]
)
_LATIN_FALLBACK = "reconcile-latin"
"""The name of a codec error handler: bytes that are not valid UTF-8 are decoded as Windows' code page 1252."""
_FORMATS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def table_format(source: str) -> str:
    """Return the format of a table by its ending: csv, parquet or jsonl. An additional `.gz` is ignored.

    Raises:
        UsageError: the file has another ending.
    """
    name = PurePosixPath(source).name.lower().removesuffix(".gz")
    file_format = _FORMATS.get(PurePosixPath(name).suffix)
    if file_format is None:
        raise UsageError(f"--records {source}: expected a file ending in {', '.join(_FORMATS)}")
    return file_format


def load_table(
    database: duckdb.DuckDBPyConnection, path: Path, source: str, columns: Mapping[str, str], scratch: Path
) -> None:
    """Create the table `source_rows` with every row of the file as text. Nothing is validated yet.

    The table has the columns source, line, bin_id, quantity and changed_at. `line` is the number that a person sees:
    the header of a CSV file is line 1. If a line cannot be parsed, its last three columns are null. If only a cell is
    missing, it is empty.

    Args:
        database: where to create the table.
        path: the file on this machine.
        source: the file as the user named it.
        columns: our column names mapped to those of the file, for names that differ. With `changed_at`, that column is
            read as well.
        scratch: the folder for a copy in UTF-8.

    Raises:
        UsageError: the file lacks a column, or has an unknown ending.
        ReconcileError: the file is empty, or cannot be read in the format of its ending.
    """
    wanted = DEFAULT_COLUMNS | dict(columns)
    file_format = table_format(source)
    try:
        if file_format == "jsonl":
            table, line = _json_lines(database, _as_utf8(path, scratch)), "row_number() OVER ()"
            pointers = {ours: "/" + column.replace("~", "~0").replace("/", "~1") for ours, column in wanted.items()}
            cells = {ours: f"json_extract_string(text, {literal(pointer)})" for ours, pointer in pointers.items()}
            texts = {ours: f"CASE WHEN text IS NOT NULL THEN coalesce({cell}, '') END" for ours, cell in cells.items()}
        elif file_format == "parquet":
            table, line = database.read_parquet(literal_path(path)), "row_number() OVER ()"
            names = {ours: _find_column(column, table.columns, ours, source) for ours, column in wanted.items()}
            texts = {ours: f"coalesce({_text_expression(table, name)}, '')" for ours, name in names.items()}
        else:
            rows = database.from_arrow(_read_csv(_as_utf8(path, scratch), wanted, source))
            table, line, texts = rows, "line", {ours: ours for ours in wanted}
        table.project(
            f"{literal(source)} AS source, {line} AS line, "
            f"regexp_replace({texts['bin_id']}, '{_FILE_ENDING}', '', 'i') AS bin_id, "
            f"{texts['expected_quantity']} AS quantity, {texts.get('changed_at', 'NULL::VARCHAR')} AS changed_at"
        ).create("source_rows")
    except (duckdb.Error, OSError, EOFError) as error:
        raise ReconcileError(f"--records {source} cannot be read: {first_line(error)}") from None


def _as_utf8(path: Path, scratch: Path) -> Path:
    """Write an uncompressed copy in UTF-8 and return its path.

    A byte that is not valid UTF-8 is decoded as Windows' code page 1252, which Excel writes in western countries. So a
    stray byte in a product's name costs one letter of it.
    """
    copy = scratch / "records.txt"
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    with (
        gzip.open(path) if is_gzip else path.open("rb") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        start = source.read(2)
        utf16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Excel's "Unicode text"
        decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")(errors=_LATIN_FALLBACK)
        chunk = start
        while chunk:
            target.write(decoder.decode(chunk))
            chunk = source.read(1 << 20)
        target.write(decoder.decode(b"", final=True))
    return copy


def _read_csv(path: Path, wanted: Mapping[str, str], source: str) -> pa.RecordBatchReader:
    """Read the rows of a CSV file. DuckDB's reader would drop everything after a quote that is never closed."""
    text = path.open(encoding="utf-8", newline="")
    rows = enumerate(read_csv_rows(text), start=1)
    header = next((row for _, row in rows if not _is_empty(row)), [])
    if not header:
        raise ReconcileError(f"--records {source} is empty")
    names = [name.strip() for name in (header.cells if isinstance(header, BrokenRow) else header)]
    bin_id, quantity, *change = (
        names.index(_find_column(column, names, ours, source)) for ours, column in wanted.items()
    )

    def batches() -> Iterator[pa.RecordBatch]:
        # Only cells are kept, because the garbage collector would traverse the lists of all rows repeatedly.
        lines, bins, quantities, changes = list[int](), list[str | None](), list[str | None](), list[str | None]()

        def batch() -> pa.RecordBatch:
            changed_at = changes if change else pa.nulls(len(lines), pa.string())
            return pa.record_batch([lines, bins, quantities, changed_at], schema=_CSV_SCHEMA)

        with text:
            for line, row in rows:
                if _is_empty(row):
                    continue
                bin_cell, quantity_cell = _cells(row, bin_id, quantity, len(names))
                lines.append(line)
                bins.append(bin_cell)
                quantities.append(quantity_cell)
                if change:
                    changes.append(_cells(row, bin_id, change[0], len(names))[1])
                if len(lines) == _ROWS_AT_ONCE:
                    yield batch()
                    lines, bins, quantities, changes = [], [], [], []
        yield batch()

    return pa.RecordBatchReader.from_batches(_CSV_SCHEMA, batches())


def _is_empty(row: list[str] | BrokenRow) -> bool:
    if isinstance(row, BrokenRow):
        return False
    return not (row and row[0].strip()) and not any(map(str.strip, row))


def _cells(row: list[str] | BrokenRow, bin_id: int, other: int, columns: int) -> tuple[str | None, str | None]:
    """Return the bin's cell and another cell of a row.

    A broken row with the right number of cells is used, too. Its quote may be an inch mark in a product's name.
    """
    if isinstance(row, BrokenRow):
        if len(row.cells) != columns:
            return None, None
        row = row.cells
    return row[bin_id] if bin_id < len(row) else "", row[other] if other < len(row) else ""


def _json_lines(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Return each line as text. An invalid line stays a row, whose text is null."""
    lines = database.read_csv(
        literal_path(path), columns={"text": "VARCHAR"}, header=False, delimiter="\x1f", quotechar="", escapechar="",
        max_line_size=_MAX_LINE_BYTES, auto_detect=False, strict_mode=False, parallel=False,
    )  # fmt: skip
    return lines.project("CASE WHEN json_valid(text) THEN text END AS text")


def _text_expression(table: duckdb.DuckDBPyRelation, name: str) -> str:
    """Return an SQL expression for a column as text. Whole floats become integers: pandas turns ids into floats."""
    column = '"' + name.replace('"', '""') + '"'
    types: dict[str, Any] = dict(zip(table.columns, table.types, strict=True))
    if str(types[name]) in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN {column} = floor({column}) THEN {column}::HUGEINT::VARCHAR ELSE {column}::VARCHAR END"
    return f"{column}::VARCHAR"


def _find_column(column: str, available: Sequence[str], ours: str, source: str) -> str:
    """Return the file's spelling of a column name. Upper and lower case make no difference.

    Raises:
        UsageError: the file has no such column.
    """
    for name in available:
        if name.lower() == column.lower():
            return name
    existing = ", ".join(available[:12]) or "none"
    raise UsageError(
        f"{source} has no column {column!r} (its columns: {existing}); "
        f"name the right one with --records-columns {ours}=COLUMN"
    )


def _decode_as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error(_LATIN_FALLBACK, _decode_as_latin)
