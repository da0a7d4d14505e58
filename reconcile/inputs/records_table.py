"""Expected quantities from one table: CSV, Parquet or JSON Lines."""

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
"""What every table has."""
# Bin ids are often given as the photo's file name.
_FILE_ENDING = r"\.(jpe?g|png|webp|tiff?|bmp|gif|json)$"
_LONGEST_LINE = 16 * 1024 * 1024
_ROWS_AT_ONCE = 50_000
_CSV_SCHEMA = pa.schema(
    [("line", pa.int64()), ("bin_id", pa.string()), ("expected_quantity", pa.string()), ("changed_at", pa.string())]
)
_LATIN = "reconcile-latin"
_FORMATS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def table_format(source: str) -> str:
    """csv, parquet or jsonl, by the file's ending (`.gz` aside).

    Raises:
        UsageError: another ending.
    """
    name = PurePosixPath(source).name.lower().removesuffix(".gz")
    found = _FORMATS.get(PurePosixPath(name).suffix)
    if found is None:
        raise UsageError(f"--records {source}: expected a file ending in {', '.join(_FORMATS)}")
    return found


def load_table(
    database: duckdb.DuckDBPyConnection, path: Path, source: str, columns: Mapping[str, str], work: Path
) -> None:
    """Make the table `source_rows`: every row of the file as text; nothing is checked yet.

    It has source, line (as a person finds it: in a CSV the header is row 1), bin_id, quantity and changed_at. Of a line
    that cannot be taken apart the last three are null; where a cell alone is missing, it is empty.

    Args:
        database: where the table is made.
        path: the file on this machine.
        source: what the user calls it.
        columns: our names (bin_id, expected_quantity) to the file's, where they differ; and changed_at, where that is
            wanted.
        work: a folder for a copy in plain UTF-8.

    Raises:
        UsageError: a column is not there, or the ending is not known.
        ReconcileError: the file cannot be read as what its ending says.
    """
    wanted = DEFAULT_COLUMNS | dict(columns)
    kind = table_format(source)
    try:
        if kind == "jsonl":
            table, line = _lines(database, _as_utf8(path, work)), "row_number() OVER ()"
            pointers = {ours: "/" + column.replace("~", "~0").replace("/", "~1") for ours, column in wanted.items()}
            cells = {ours: f"json_extract_string(text, {literal(pointer)})" for ours, pointer in pointers.items()}
            texts = {ours: f"CASE WHEN text IS NOT NULL THEN coalesce({cell}, '') END" for ours, cell in cells.items()}
        elif kind == "parquet":
            table, line = database.read_parquet(literal_path(path)), "row_number() OVER ()"
            names = {ours: _find(column, table.columns, ours, source) for ours, column in wanted.items()}
            texts = {ours: f"coalesce({_text(table, name)}, '')" for ours, name in names.items()}
        else:
            rows = database.from_arrow(_csv(_as_utf8(path, work), wanted, source))
            table, line, texts = rows, "line", {ours: ours for ours in wanted}
        table.project(
            f"{literal(source)} AS source, {line} AS line, "
            f"regexp_replace({texts['bin_id']}, '{_FILE_ENDING}', '', 'i') AS bin_id, "
            f"{texts['expected_quantity']} AS quantity, {texts.get('changed_at', 'NULL::VARCHAR')} AS changed_at"
        ).create("source_rows")
    except (duckdb.Error, OSError, EOFError) as error:
        raise ReconcileError(f"--records {source} cannot be read: {first_line(error)}") from None


def _as_utf8(path: Path, work: Path) -> Path:
    """A copy without compression, in UTF-8; what is no UTF-8 in it is taken for Windows' Latin-1, byte by byte.

    That is what Excel writes in western countries; and a stray byte in the name of a product costs one letter of it.
    """
    copy = work / "records.txt"
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    with (
        gzip.open(path) if is_gzip else path.open("rb") as source,
        copy.open("w", encoding="utf-8", newline="") as target,
    ):
        start = source.read(2)
        utf16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Excel's "Unicode text"
        decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")(errors=_LATIN)
        chunk = start
        while chunk:
            target.write(decoder.decode(chunk))
            chunk = source.read(1 << 20)
        target.write(decoder.decode(b"", final=True))
    return copy


def _csv(path: Path, wanted: Mapping[str, str], source: str) -> pa.RecordBatchReader:
    """The rows of a CSV: a quote that is never closed costs its own line, where DuckDB's reader drops what follows."""
    text = path.open(encoding="utf-8", newline="")
    rows = enumerate(read_csv_rows(text), start=1)
    header = next((row for _, row in rows if not _is_empty(row)), [])
    if not header:
        raise ReconcileError(f"--records {source} is empty")
    names = [name.strip() for name in (header.cells if isinstance(header, BrokenRow) else header)]
    bin_id, quantity, *change = (names.index(_find(column, names, ours, source)) for ours, column in wanted.items())

    def batches() -> Iterator[pa.RecordBatch]:
        # Rows are not kept: Python would look through so many lists again and again for those it can free.
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
    """Bin and another cell; of a broken row too, where it seems to have all its cells: a name with an inch mark."""
    if isinstance(row, BrokenRow):
        if len(row.cells) != columns:
            return None, None
        row = row.cells
    return row[bin_id] if bin_id < len(row) else "", row[other] if other < len(row) else ""


def _lines(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Each line of JSON Lines is taken as text first, so that a broken one stays a row: its text is null."""
    lines = database.read_csv(
        literal_path(path), columns={"text": "VARCHAR"}, header=False, delimiter="\x1f", quotechar="", escapechar="",
        max_line_size=_LONGEST_LINE, auto_detect=False, strict_mode=False, parallel=False,
    )  # fmt: skip
    return lines.project("CASE WHEN json_valid(text) THEN text END AS text")


def _text(table: duckdb.DuckDBPyRelation, name: str) -> str:
    """An SQL expression of a column as text; ids that pandas made floats of become whole numbers again."""
    column = '"' + name.replace('"', '""') + '"'
    kinds: dict[str, Any] = dict(zip(table.columns, table.types, strict=True))
    if str(kinds[name]) in ("DOUBLE", "FLOAT"):
        return f"CASE WHEN {column} = floor({column}) THEN {column}::HUGEINT::VARCHAR ELSE {column}::VARCHAR END"
    return f"{column}::VARCHAR"


def _find(column: str, available: Sequence[str], ours: str, source: str) -> str:
    for name in available:
        if name.lower() == column.lower():
            return name
    has = ", ".join(available[:12]) or "no names at all"
    raise UsageError(f"{source} has no column {column!r}, but {has}; say which with --records-columns {ours}=COLUMN")


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error(_LATIN, _as_latin)
