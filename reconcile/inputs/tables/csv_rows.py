"""Split CSV text into rows. A quote that is never closed breaks only its own row."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_CELL = 16 * 1024 * 1024
"""The largest number of characters in a cell."""
_LINES_AT_ONCE = 512
"""With more lines, their rows do not fit into the caches of a CPU."""
_UNEXPECTED_END = "unexpected end of data"
"""The error of Python's csv module for text that ends inside quotes."""
csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))


@dataclass(frozen=True)
class BrokenRow:
    """A line with a quote that is not closed, or that is in the wrong position."""

    reason: str
    cells: list[str]
    """The cells that the line probably has."""

    def __len__(self) -> int:
        """Return 0, so that a broken row never has the width of its table."""
        return 0


def read_csv_rows(text: Iterator[str], delimiter: str) -> Iterator[list[str] | BrokenRow]:
    """Iterate over the rows of a CSV text, including the header and empty lines.

    Args:
        text: the lines with their ends. They are read as they are needed, so the text may have any length. Only line
            feeds and carriage returns may end a line.
        delimiter: what separates the cells.

    Yields:
        the cells of each row, or a BrokenRow.
    """
    return chain.from_iterable(read_csv_blocks(text, delimiter))


def read_csv_blocks(text: Iterator[str], delimiter: str) -> Iterator[list[list[str] | BrokenRow]]:
    """Iterate over the rows of a CSV text as `read_csv_rows` does, some hundred at a time, which is faster."""
    unread, lines = deque[str](), list[str]()
    wanted = _LINES_AT_ONCE
    while True:
        again = [unread.popleft() for _ in range(min(wanted, len(unread)))]
        more = list(islice(text, wanted - len(again)))
        lines += again + more
        if not lines:
            return
        try:
            yield list(csv.reader(lines, delimiter=delimiter, strict=True))
            lines, wanted = [], _LINES_AT_ONCE
        except csv.Error:  # some line is broken, or the last row goes on in the lines that follow
            split = _split_one_by_one(lines, delimiter, is_end=not again and not more)
            yield split.rows
            if split.is_open:
                lines, wanted = split.rest, max(len(split.rest), _LINES_AT_ONCE)
            else:
                unread.extendleft(reversed(split.rest))
                lines, wanted = [], _LINES_AT_ONCE


class _Split(NamedTuple):
    """The rows of some lines."""

    rows: list[list[str] | BrokenRow]
    rest: list[str]
    """The lines after these rows."""
    is_open: bool
    """Whether the first row of the rest may go on in lines that were not read yet."""


def _split_one_by_one(lines: list[str], delimiter: str, *, is_end: bool) -> _Split:
    """Split lines of which one is broken."""
    rows: list[list[str] | BrokenRow] = []
    start = 0
    while start < len(lines):
        rest = lines[start:] if start else lines
        reader, done = csv.reader(rest, delimiter=delimiter, strict=True), 0
        try:
            for row in reader:
                done = reader.line_num
                rows.append(row)
            break
        except csv.Error as error:
            if str(error) == _UNEXPECTED_END and not is_end:
                return _Split(rows, rest[done:], is_open=True)
            # Only the first line is broken. The lines after it are rows of their own.
            rows.append(BrokenRow(str(error), _guess_cells(rest[done], delimiter)))
            start += done + 1
            if len(rest) > 2 * _LINES_AT_ONCE:  # do not copy a long rest for each of many broken rows
                return _Split(rows, lines[start:], is_open=False)
    return _Split(rows, [], is_open=False)


def _guess_cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:  # a cell is too long
        return []
