"""Rows of a table, some thousands at a time."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pyarrow as pa

from reconcile.errors import ReconcileError, first_line
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


ROWS_AT_ONCE = 16_384
"""The most rows of a batch."""
Cells: TypeAlias = "pa.Array | list[object]"
"""The cells of a column. A list holds text, numbers, dates or None, and CSV files have only text."""


class UnreadableRow(NamedTuple):
    """A row that has other cells than its header."""

    line: int
    reason: str
    cells: list[str]
    """The cells that the row probably has. They may belong to other columns."""


@dataclass(frozen=True)
class Batch:
    """Some rows of a table."""

    lines: Sequence[int]
    """The number of each row as a person sees it. In files with a header, line 1 is the first line of the file."""
    cells: dict[str, Cells]
    """The cells of each wanted column that the table has, by our names."""
    unreadable: list[UnreadableRow] = field(default_factory=list)
    """Rows of the same part of the file that could not be split into columns. `lines` and `cells` do not include
    them."""


@dataclass(frozen=True)
class Table:
    """A table file whose columns were found. Its rows can be read several times."""

    read: Callable[[], Iterator[Batch]]
    """Reads the rows from the first one on. Raises ReconcileError if the file turns out to be damaged."""
    delimiter: str | None = None
    """The separator between cells; None for formats whose cells have types or need no separator."""
    positions: dict[str, int] = field(default_factory=dict)
    """The position of each wanted column in rows of text; empty for formats in which columns cannot be mixed up."""
    header: tuple[str, ...] = ()
    """The column names of a table with a header."""
    note: str | None = None
    """A note for the user, such as the sheet that was chosen."""


@contextmanager
def readable(label: str) -> Iterator[None]:
    """Turn the errors of damaged and missing files into one that names the file.

    Args:
        label: the file as the message names it.

    Raises:
        ReconcileError: the file cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise ReconcileError(f"{label} cannot be read: {error.strerror or first_line(error)}") from None
    except (EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        raise ReconcileError(f"{label} cannot be read: {first_line(error)}") from None


def describe_width(cells: int, columns: int) -> str:
    """Return the problem of a row that has another number of cells than the header, as text."""
    return f"{plural(cells, 'cell')}, the header has {columns}"
