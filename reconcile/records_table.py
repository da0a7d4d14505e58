"""Expected quantities from one table: CSV, Parquet or JSON Lines."""

from __future__ import annotations

import codecs
import gzip
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import duckdb

from reconcile.errors import ReconcileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_COLUMNS = {"bin_id": "bin_id", "expected_quantity": "expected_quantity"}
# Bin ids are often given as the photo's file name.
_FILE_ENDING = r"\.(jpe?g|png|webp|tiff?|bmp|gif|json)$"
_LONGEST_LINE = 16 * 1024 * 1024
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

    It has source, line (as a person finds it: in a CSV the header is row 1), bin_id and quantity; a line of JSON Lines
    that is no object has neither of the last two.

    Args:
        database: where the table is made.
        path: the file on this machine.
        source: what the user calls it.
        columns: our names (bin_id, expected_quantity) to the file's, where they differ.
        work: a folder for a copy in plain UTF-8.

    Raises:
        UsageError: a column is not there, or the ending is not known.
        ReconcileError: the file cannot be read as what its ending says.
    """
    wanted = DEFAULT_COLUMNS | dict(columns)
    kind = table_format(source)
    try:
        if kind == "jsonl":
            table = _lines(database, _as_utf8(path, work))
            pointers = {ours: "/" + column.replace("~", "~0").replace("/", "~1") for ours, column in wanted.items()}
            texts = {ours: f"json_extract_string(text, {_literal(pointer)})" for ours, pointer in pointers.items()}
        else:
            table = database.read_parquet(str(path)) if kind == "parquet" else _csv(database, _as_utf8(path, work))
            texts = {ours: _text(table, _find(column, table.columns, ours, source)) for ours, column in wanted.items()}
        table.project(
            f"{_literal(source)} AS source, row_number() OVER () + {int(kind == 'csv')} AS line, "
            f"regexp_replace({texts['bin_id']}, '{_FILE_ENDING}', '', 'i') AS bin_id, "
            f"{texts['expected_quantity']} AS quantity"
        ).create("source_rows")
    except (duckdb.Error, OSError, EOFError) as error:
        raise ReconcileError(f"--records {source} cannot be read: {str(error).splitlines()[0][:300]}") from None


def _as_utf8(path: Path, work: Path) -> Path:
    """A copy without compression, in UTF-8; what is no text in it becomes a replacement character.

    So a stray byte in the name of a product costs one letter of that name, and not the night.
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
        decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")(errors="replace")
        chunk = start
        while chunk:
            target.write(decoder.decode(chunk))
            chunk = source.read(1 << 20)
        target.write(decoder.decode(b"", final=True))
    return copy


def _csv(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Quotes are not left to be guessed, and lines not to be split among threads: both go wrong without a word."""
    return database.read_csv(
        str(path), all_varchar=True, header=True, null_padding=True, strict_mode=False, parallel=False,
        quotechar='"', escapechar='"', max_line_size=_LONGEST_LINE,
    )  # fmt: skip


def _lines(database: duckdb.DuckDBPyConnection, path: Path) -> duckdb.DuckDBPyRelation:
    """Each line of JSON Lines is taken as text first, so that a broken one stays a row: its text is null."""
    lines = database.read_csv(
        str(path), columns={"text": "VARCHAR"}, header=False, delimiter="\x1f", quotechar="", escapechar="",
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
    has = ", ".join(available[:12])
    raise UsageError(f"{source} has no column {column!r}, but {has}; say which with --records-columns {ours}=COLUMN")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
