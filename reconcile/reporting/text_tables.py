"""Tables and terms of a report, which text and HTML share, and how they are set in plain text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.metrics.intervals import Estimate


_TEXT_WIDTH = 78


@dataclass(frozen=True)
class Table:
    """Cells as text, the same in both forms."""

    name: str
    """Its id in the page."""
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    total: bool = False
    """Whether the last row sums up the others."""
    heat: tuple[tuple[float, ...], ...] = ()
    """0 to 1 for the shade of each cell after a row's first; the cells on the diagonal are agreement."""


@dataclass(frozen=True)
class Section:
    """One question, what its figures mean, and the figures."""

    name: str
    title: str
    hint: str
    tables: tuple[Table, ...]
    words: tuple[tuple[str, str], ...] = ()
    """A term of the tables and what it means."""


def section_lines(section: Section) -> list[str]:
    """A section in plain text, 78 characters wide unless a table is wider."""
    lines = [section.title, "-" * len(section.title), "", *wrap(section.hint)]
    for table in section.tables:
        lines += ["", *([table.caption, ""] if table.caption else []), *_table_lines(table)]
    return [*lines, "", *definitions(dict(section.words))] if section.words else lines


def percents(found: Estimate | None) -> str:
    """An interval, a dash where there is none."""
    return "–" if found is None else f"{100 * found.low:.1f} – {100 * found.high:.1f}%"


def wrap(text: str) -> list[str]:
    """A paragraph."""
    return textwrap.wrap(text, _TEXT_WIDTH, break_on_hyphens=False)


def definitions(words: dict[str, str]) -> list[str]:
    """Terms on the left, their meanings beside them."""
    width = max(map(len, words)) + 2
    return [
        line
        for term, meaning in words.items()
        for line in textwrap.wrap(
            meaning,
            _TEXT_WIDTH,
            initial_indent=term.ljust(width),
            subsequent_indent=" " * width,
            break_on_hyphens=False,
        )
    ]


def _table_lines(table: Table) -> list[str]:
    """Columns as wide as their widest cell; the first from the left, the others from the right."""
    rows: Sequence[tuple[str, ...]] = (table.headings, *table.rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
