"""Reads the CSV that people keep: as a program, a hand or Excel in any country leaves it."""

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
_BLANK = r"\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_GUARDED = re.compile(rf"^'(?=[{_BLANK}]*[=+\-@＝＋－＠]|[\t\r\n])|(?<=[;\t\r\n])([{_BLANK}\"]*)'(?=[=+\-@＝＋－＠])")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)', re.IGNORECASE)
_SEPARATORS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d{1,2}")


@dataclass(frozen=True)
class Line:
    """One line of a table."""

    number: int
    """As a spreadsheet numbers it: the names are line 1, and a cell of several lines lies in one."""
    cells: dict[str, str]
    """By column name; no longer guarded against being taken for a formula. Columns that the line lacks are absent."""


@dataclass(frozen=True)
class InvalidLine:
    """A line that cannot be taken apart."""

    number: int
    reason: str


def read_csv_lines(path: Path, called: str, required: Sequence[str]) -> list[Line | InvalidLine]:
    """Read a CSV file whose first line names its columns.

    Commas, semicolons, tabs or bars, also named by a first line `sep=;`; UTF-8 or UTF-16, with or without a byte order
    mark, or Windows' Latin-1; column names in any case and order. Where a quote is never closed, only that line
    is lost.

    Args:
        path: the file.
        called: what the user calls it.
        required: columns it has to have.

    Returns:
        its lines but the first and the empty ones.

    Raises:
        UsageError: it cannot be read, is empty, or lacks a column.
    """
    names: list[str] = []
    lines: list[Line | InvalidLine] = []
    for number, row in enumerate(read_csv_rows(io.StringIO(_text(path, called), newline="")), start=1):
        if isinstance(row, BrokenRow):
            lines.append(InvalidLine(number, row.reason))
        elif not any(cell.strip() for cell in row):
            continue
        elif not names:
            names = [cell.strip().lower().replace(" ", "_") for cell in row]
            missing = [name for name in required if name not in names]
            if missing:
                raise UsageError(f"{called} has no column {' and no column '.join(missing)}; its first line names them")
        else:
            lines.append(Line(number, dict(zip(names, map(unescape_formula, row), strict=False))))
    if not names:
        raise UsageError(f"{called} is empty")
    return lines


def parse_number(text: str) -> float:
    """The number that a cell says; 3,5 is 3.5, but 3,500 may be either of two numbers and is none.

    Raises:
        ValueError: it says none.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


@dataclass(frozen=True)
class BrokenRow:
    """A line whose quotes are not closed, or stand where they should not."""

    reason: str
    cells: list[str]
    """What it may mean."""


def read_csv_rows(text: TextIO) -> Iterator[list[str] | BrokenRow]:
    """The cells of each line, the one with the names and empty ones included.

    Args:
        text: opened with `newline=""`: only line feeds and carriage returns end a line. It is read as far as it is
            needed, so that it may be of any length.
    """
    first = next(text, "")
    told = _SEPARATOR_LINE.match(first)  # Excel's own way to name the separator; it never shows this line
    ahead = [] if told else [first]
    while ahead and ahead[-1] and not ahead[-1].strip():
        ahead.append(next(text, ""))
    delimiter = told[1] if told else max(_SEPARATORS, key=ahead[-1].count)
    again, taken = deque(ahead), list[str]()

    def lines() -> Iterator[str]:
        while line := again.popleft() if again else next(text, ""):
            taken.append(line)
            yield line

    while True:
        try:
            for row in csv.reader(lines(), delimiter=delimiter, strict=True):
                taken.clear()
                yield row
            return
        except csv.Error as error:  # all lines but the first that this row took up are rows of their own
            broken, *others = taken
            again.extendleft(reversed(others))
            taken.clear()
            yield BrokenRow(str(error), _guessed(broken, delimiter))


def _guessed(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:  # a cell that is too long
        return []


def unescape_formula(cell: str) -> str:
    """Without the apostrophes that `plain_text` of sql/macros.sql puts in."""
    text = cell.strip()
    return _GUARDED.sub(r"\1", text) if "'" in text else text


def _text(path: Path, called: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{called} cannot be read: {error.strerror}") from None
    if data.startswith(_WORKBOOKS):
        raise UsageError(f"{called} is a workbook; save it as CSV")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:2]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
