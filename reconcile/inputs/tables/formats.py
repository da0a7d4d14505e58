"""Detect the format of a table file by its first bytes, because its name may be wrong."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path, PurePosixPath

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.tables.batches import readable
from reconcile.inputs.tables.text_files import guess_encoding, is_gzip, open_bytes

_SAMPLE_BYTES = 4096


class TableFormat(Enum):
    """The formats of tables that can be read."""

    CSV = "CSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"
    WORKBOOK = "workbook"


_ENDINGS = {
    ".csv": TableFormat.CSV,
    ".tsv": TableFormat.CSV,
    ".parquet": TableFormat.PARQUET,
    ".jsonl": TableFormat.JSON_LINES,
    ".ndjson": TableFormat.JSON_LINES,
    ".xlsx": TableFormat.WORKBOOK,
    ".xlsm": TableFormat.WORKBOOK,
    ".xlsb": TableFormat.WORKBOOK,
    ".xls": TableFormat.WORKBOOK,
    ".ods": TableFormat.WORKBOOK,
}
ENDINGS = tuple(_ENDINGS)
"""The endings of the names of tables."""
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""The first bytes of workbooks: ZIP (.xlsx, .ods) and OLE (.xls)."""
_PARQUET = b"PAR1"
_BINARY = {
    b"%PDF": "a PDF document",
    b"{\\rtf": "an RTF document",
    b"SQLite format 3": "an SQLite database",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x8b": "compressed with gzip twice",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"PK\x05\x06": "an empty ZIP archive",
}
"""The first bytes of other formats, and their names in messages."""
_ADVICE = "save the table as CSV, as a workbook, as Parquet or as JSON Lines"


def format_of_name(name: str) -> TableFormat | None:
    """Return the format with the ending of a file name, or None. An additional `.gz` is ignored."""
    return _ENDINGS.get(PurePosixPath(PurePosixPath(name).name.lower().removesuffix(".gz")).suffix)


def split_sheet(location: str) -> tuple[str, str | None]:
    """Split `stock.xlsx#Sheet2` into the file and the sheet. The sheet is None if the location names none.

    Args:
        location: a path or an address on S3. If a file with the whole name exists, `#` is a part of the name.
    """
    if not location.startswith("s3://") and Path(location).expanduser().exists():
        return location, None
    parts = location.split("#")
    for end in range(1, len(parts)):
        file, sheet = "#".join(parts[:end]), "#".join(parts[end:])
        if sheet and format_of_name(file) is not None:
            return file, sheet
    return location, None


def detect_format(path: Path, name: str, label: str) -> TableFormat:
    """Return the format of a file. The content decides whether it is a workbook. Otherwise the ending decides.

    Args:
        path: the file on this machine.
        name: the file as the user named it, without a sheet.
        label: the file in errors.

    Raises:
        UsageError: the content has another format than the ending says, or one that reconcile cannot read.
        ReconcileError: the file is empty or cannot be read.
    """
    with readable(label), open_bytes(path) as file:
        sample = file.read(_SAMPLE_BYTES)
    if not sample:
        raise ReconcileError(f"{label} is empty")
    if sample.startswith((*_WORKBOOKS, _PARQUET)) and is_gzip(path):
        raise UsageError(f"{label} is compressed with gzip, which only text files may be; decompress it first")
    if sample.startswith(_WORKBOOKS):
        return TableFormat.WORKBOOK
    for start, description in _BINARY.items():
        if sample.startswith(start):
            raise UsageError(f"{label} is {description}; {_ADVICE}")
    by_name = format_of_name(name)
    if by_name is TableFormat.PARQUET:
        if sample.startswith(_PARQUET):
            return TableFormat.PARQUET
        raise UsageError(f"{label} is not a Parquet file, because it does not start with PAR1; {_ADVICE}")
    if sample.startswith(_PARQUET):
        raise UsageError(f"{label} is a Parquet file; give it a name that ends in .parquet")
    text = sample.decode(guess_encoding(sample), "replace").lstrip("\ufeff").lstrip()
    _refuse_other_text(text, label, is_json=by_name is TableFormat.JSON_LINES)
    # Many systems export text as .xls. It is read as what it is.
    return TableFormat.JSON_LINES if by_name is TableFormat.JSON_LINES else TableFormat.CSV


def _refuse_other_text(text: str, label: str, *, is_json: bool) -> None:
    """Refuse HTML, XML, JSON and binary data.

    Raises:
        UsageError: the text starts like one of these.
    """
    start = text[:1000].lower()
    if start.startswith("<") and ("<html" in start or "<!doctype html" in start or "<table" in start):
        raise UsageError(f"{label} is an HTML page; {_ADVICE}")
    if start.startswith("<?xml") or start.startswith("<workbook"):
        raise UsageError(f"{label} is an XML file; {_ADVICE}")
    if text.count("\0") > len(text) // 8:
        raise UsageError(f"{label} holds binary data; {_ADVICE}")
    if is_json and text.startswith("["):
        raise UsageError(f"{label} is one JSON array; write one JSON object on each line")
    if not is_json and text.startswith(("{", "[")) and _is_json(text):
        raise UsageError(f"{label} is JSON; write one JSON object on each line, and give it a name that ends in .jsonl")


def _is_json(text: str) -> bool:
    """Return whether a text starts with JSON, and not with a column name in brackets."""
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text[1:].lstrip().startswith(('"', "{", "["))
    return True
