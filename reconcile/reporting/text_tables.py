"""Tables and sections of a report, which text and HTML share, and their layout as plain text."""

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
    """A table whose cells are text."""

    name: str
    """The table's id in the HTML page."""
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    total: bool = False
    """True if the last row is the total of the others."""
    heat: tuple[tuple[float, ...], ...] = ()
    """The shade of each cell after a row's first, from 0 to 1. The diagonal means agreement."""


@dataclass(frozen=True)
class Section:
    """One topic of a report: a title, an explanation and tables."""

    name: str
    title: str
    hint: str
    tables: tuple[Table, ...]
    words: tuple[tuple[str, str], ...] = ()
    """Pairs of a term in the tables and its meaning."""


def section_lines(section: Section) -> list[str]:
    """Return a section as lines of text, 78 characters wide unless a table is wider."""
    lines = [section.title, "-" * len(section.title), "", *wrap(section.hint)]
    for table in section.tables:
        lines += ["", *([table.caption, ""] if table.caption else []), *_table_lines(table)]
    return [*lines, "", *definitions(dict(section.words))] if section.words else lines


def percents(estimate: Estimate | None) -> str:
    """Return an interval in percent, or a dash if there is none."""
    return "–" if estimate is None else f"{100 * estimate.low:.1f} – {100 * estimate.high:.1f}%"


def wrap(text: str) -> list[str]:
    """Wrap a paragraph into lines."""
    return textwrap.wrap(text, _TEXT_WIDTH, break_on_hyphens=False)


def definitions(words: dict[str, str]) -> list[str]:
    """Return lines with terms on the left and their meanings next to them."""
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
    """Align a table: the first column to the left, the others to the right."""
    rows: Sequence[tuple[str, ...]] = (table.headings, *table.rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]
