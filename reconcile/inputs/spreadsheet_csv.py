"""Read CSV as programs, people and spreadsheets of any country write it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO


_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of workbooks: ZIP (.xlsx, .ods) and OLE (.xls)."""
_BLANK = r"\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_GUARDED = re.compile(rf"^'(?=[{_BLANK}]*[=+\-@＝＋－＠]|[\t\r\n])|(?<=[;\t\r\n])([{_BLANK}\"]*)'(?=[=+\-@＝＋－＠])")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)', re.IGNORECASE)
_SEPARATORS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")


@dataclass(frozen=True)
class CsvLine:
    """One line of a CSV file."""

    number: int
    """The line number that a spreadsheet shows: the header is line 1, and a cell with line breaks is one line."""
    cells: dict[str, str]
    """Cells by column name, without the guard against formulas. Columns that the line lacks are absent."""


@dataclass(frozen=True)
class InvalidLine:
    """A line that cannot be parsed."""

    number: int
    """The line number that a spreadsheet shows."""
    reason: str


def read_csv_lines(path: Path, source: str, required: Sequence[str]) -> list[CsvLine | InvalidLine]:
    """Read a CSV file whose first line names its columns.

    - Separators: commas, semicolons, tabs or bars. A first line such as `sep=;` may name the separator.
    - Encodings: UTF-8 or UTF-16, with or without a byte order mark, or Windows' code page 1252.
    - Column names: in any case and order.
    - A quote that is never closed makes only its own line invalid.

    Args:
        path: the file.
        source: the file as the user named it.
        required: the names of the columns that the file needs.

    Returns:
        all lines except the header and empty lines.

    Raises:
        UsageError: the file cannot be read, is a workbook, is empty, or lacks a column.
    """
    names: list[str] = []
    lines: list[CsvLine | InvalidLine] = []
    for number, row in enumerate(read_csv_rows(io.StringIO(_decode(path, source), newline="")), start=1):
        if isinstance(row, BrokenRow):
            lines.append(InvalidLine(number, row.reason))
        elif not any(cell.strip() for cell in row):
            continue
        elif not names:
            names = [cell.strip().lower().replace(" ", "_") for cell in row]
            missing = [name for name in required if name not in names]
            if missing:
                raise UsageError(
                    f"{source} has no column {' and no column '.join(missing)}; the first line must name the columns"
                )
        else:
            lines.append(CsvLine(number, dict(zip(names, map(unescape_formula, row), strict=False))))
    if not names:
        raise UsageError(f"{source} is empty")
    return lines


def parse_number(text: str) -> float:
    """Return the number in a cell. A decimal comma is accepted, so 3,5 is 3.5.

    3,500 is not accepted, because it may be 3.5 or 3500.

    Raises:
        ValueError: the text is not a number.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


@dataclass(frozen=True)
class BrokenRow:
    """A line with a quote that is not closed, or that is in the wrong position."""

    reason: str
    cells: list[str]
    """The cells that the line probably has."""


def read_csv_rows(text: TextIO) -> Iterator[list[str] | BrokenRow]:
    """Iterate over the rows of a CSV text, including the header and empty lines.

    Args:
        text: a stream opened with `newline=""`, so that only line feeds and carriage returns end a line. Lines are read
            as they are needed, so the text may have any length.

    Yields:
        the cells of each row, or a BrokenRow.
    """
    first = next(text, "")
    separator_line = _SEPARATOR_LINE.match(first)  # Excel writes it to name the separator, and does not show it
    pending = [] if separator_line else [first]
    while pending and pending[-1] and not pending[-1].strip():
        pending.append(next(text, ""))
    delimiter = separator_line[1] if separator_line else max(_SEPARATORS, key=pending[-1].count)
    unread, row_lines = deque(pending), list[str]()

    def lines() -> Iterator[str]:
        while line := unread.popleft() if unread else next(text, ""):
            row_lines.append(line)
            yield line

    while True:
        try:
            for row in csv.reader(lines(), delimiter=delimiter, strict=True):
                row_lines.clear()
                yield row
            return
        except csv.Error as error:  # only the first line is broken: read the other lines again, as separate rows
            broken, *others = row_lines
            unread.extendleft(reversed(others))
            row_lines.clear()
            yield BrokenRow(str(error), _guess_cells(broken, delimiter))


def _guess_cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:  # a cell is too long
        return []


def unescape_formula(cell: str) -> str:
    """Remove the apostrophes with which `plain_text` of sql/macros.sql keeps a spreadsheet from running formulas."""
    text = cell.strip()
    return _GUARDED.sub(r"\1", text) if "'" in text else text


def _decode(path: Path, source: str) -> str:
    """Return the text of a file in any of the encodings of `read_csv_lines`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}") from None
    if data.startswith(_WORKBOOKS):
        raise UsageError(f"{source} is a workbook; save it as CSV")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:2]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
