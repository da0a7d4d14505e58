"""Read tables from CSV as programs, people and spreadsheets of any country write it."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from reconcile.errors import ReconcileError
from reconcile.inputs.cells import trim
from reconcile.inputs.tables.batches import ROWS_AT_ONCE, Batch, Table, UnreadableRow, describe_width, readable
from reconcile.inputs.tables.columns import find_columns, missing_columns
from reconcile.inputs.tables.csv_rows import BrokenRow, read_csv_blocks, read_csv_rows
from reconcile.inputs.tables.text_files import open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconcile.inputs.tables.columns import TableRequest


_SEPARATOR_LINE = re.compile(r'"?sep=(.)', re.IGNORECASE)
"""A line with which Excel names the separator. Excel does not show it, so it has no number."""
_SEPARATORS = ",;\t|"
MAX_TITLE_LINES = 100
"""The header is searched in this many lines."""
_MAX_SAMPLE = 1024 * 1024
"""The most characters in which the header is searched."""


class _Layout(NamedTuple):
    """The position of the header in a file, and its column names."""

    delimiter: str
    header_line: int
    names: list[str]
    positions: dict[str, int]

    @property
    def named(self) -> int:
        """The number of columns up to the last one with a name."""
        return max(index for index, name in enumerate(self.names, start=1) if name)


def open_csv(path: Path, request: TableRequest) -> Table:
    """Find the header of a CSV file.

    - Separators: commas, semicolons, tabs or bars. A first line such as `sep=;` may name the separator.
    - Encodings: see `text_files.open_text`.
    - Lines above the header, such as a title, are skipped.
    - A quote that is never closed, and a row with another number of cells than the header, break only their own row.

    Args:
        path: the file on this machine.
        request: the wanted columns.

    Raises:
        UsageError: the file lacks a column, or has two columns of one name.
        ReconcileError: the file is empty or cannot be read.
    """
    with readable(request.label), closing(open_text(path)) as text:
        separator, lines = _skip_separator_line(text)
        layout = _find_header(_sample(lines), separator, request)

    def read() -> Iterator[Batch]:
        with readable(request.label), closing(open_text(path)) as text:
            _, lines = _skip_separator_line(text)
            yield from _batches(read_csv_blocks(lines, layout.delimiter), layout, request)

    return Table(read, layout.delimiter, layout.positions, tuple(layout.names))


def _skip_separator_line(text: Iterator[str]) -> tuple[str | None, Iterator[str]]:
    """Return the separator that the first line names, if it is such a line, and the other lines."""
    first = next(text, "")
    named = _SEPARATOR_LINE.match(first)
    return (named[1], text) if named else (None, chain([first] if first else [], text))


def _sample(lines: Iterator[str]) -> list[str]:
    sample, characters = [], 0
    for line in islice(lines, 2 * MAX_TITLE_LINES):  # a cell of the header may have several lines
        sample.append(line)
        characters += len(line)
        if characters > _MAX_SAMPLE:
            break
    return sample


def _find_header(sample: Sequence[str], separator: str | None, request: TableRequest) -> _Layout:
    """Find the first row that has the required columns, with any of the separators."""
    first = next((line for line in sample if line.strip()), "")
    best: _Layout | None = None
    widest: list[str] = []
    for delimiter in separator or sorted(_SEPARATORS, key=first.count, reverse=True):
        for number, row in enumerate(islice(read_csv_rows(iter(sample), delimiter), MAX_TITLE_LINES), start=1):
            names = [name.strip() for name in (row.cells if isinstance(row, BrokenRow) else row)]
            if sum(map(bool, names)) > sum(map(bool, widest)):
                widest = names
            if (best is None or number < best.header_line) and any(names):
                positions = find_columns(names, request)
                if positions is not None:
                    best = _Layout(delimiter, number, names, positions)
                    break
    if best is not None:
        return best
    if not widest:
        raise ReconcileError(f"{request.label} is empty")
    raise missing_columns(widest, request)


def _batches(blocks: Iterator[list[list[str] | BrokenRow]], layout: _Layout, request: TableRequest) -> Iterator[Batch]:
    # Only cells are kept, because the garbage collector would traverse the lists of all rows repeatedly.
    width, number = len(layout.names), 1
    first = next(iter(layout.positions.values()))
    lines, unreadable = list[int](), list[UnreadableRow]()
    cells: dict[str, Any] = {ours: [] for ours in layout.positions}
    for block in blocks:
        rows, of_block = block, range(number, number + len(block))
        number += len(block)
        if of_block.start <= layout.header_line:
            above = layout.header_line + 1 - of_block.start
            rows, of_block = rows[above:], of_block[above:]
        # Most blocks have no row of another width and no empty row. All other blocks are checked row by row.
        is_regular = layout.named == width and set(map(len, rows)) <= {width}
        if is_regular and all(map(str.strip, _column(rows, first))):
            lines += of_block
        else:
            good_lines, rows, others = _sort_out(of_block, rows, layout, request)
            lines += good_lines
            unreadable += others
        for ours, index in layout.positions.items():
            cells[ours] += _column(rows, index)
        if len(lines) + len(unreadable) >= ROWS_AT_ONCE:
            yield Batch(lines, cells, unreadable)
            lines, cells, unreadable = [], {ours: [] for ours in layout.positions}, []
    yield Batch(lines, cells, unreadable)


def _column(rows: Sequence[list[str] | BrokenRow], index: int) -> list[str]:
    return [row[index] for row in rows]  # type: ignore[index]  # a row of full width is never broken


def _sort_out(
    lines: Sequence[int], chunk: Sequence[list[str] | BrokenRow], layout: _Layout, request: TableRequest
) -> tuple[list[int], list[list[str] | BrokenRow], list[UnreadableRow]]:
    """Return the rows that have as many cells as the header, with their lines, and the others. Drop empty rows."""
    width, named = len(layout.names), layout.named
    good: list[tuple[int, list[str] | BrokenRow]] = []
    unreadable: list[UnreadableRow] = []
    for line, row in zip(lines, chunk, strict=True):
        cells, broken = (row.cells, row.reason) if isinstance(row, BrokenRow) else (row, None)
        if broken is None and not any(map(trim, cells)):
            continue
        has_width = named <= len(cells) <= width and not any(map(str.strip, cells[named:]))
        if broken is not None and not (request.accepts_stray_quotes and has_width):
            reason = "the row cannot be parsed" if request.accepts_stray_quotes else broken
            unreadable.append(UnreadableRow(line, reason, cells))
        elif has_width:
            good.append((line, cells))
        else:
            unreadable.append(UnreadableRow(line, describe_width(len(cells), named), cells))
    return [line for line, _ in good], [cells for _, cells in good], unreadable
