"""Split CSV text into rows. A quote that is never closed breaks only its own row."""

from __future__ import annotations

import csv
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_CELL = 16 * 1024 * 1024
"""The largest number of characters in a cell."""
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
    unread, row_lines = deque[str](), list[str]()

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
