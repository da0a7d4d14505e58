"""Find the wanted columns of a table by the names in its header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.errors import UsageError
from reconcile.inputs.cells import trim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_MOST_LISTED = 12
"""The most columns that an error lists."""


@dataclass(frozen=True)
class WantedColumn:
    """A column that a reader of a table requests."""

    names: tuple[str, ...]
    """The accepted names. If a table has several of them, the first in this order is used."""
    is_required: bool = True
    if_repeated: Callable[[str], None] | None = None
    """Called with the problem if a table has several columns of this name. The column then counts as missing. Without
    this function, such a table is refused."""


@dataclass(frozen=True)
class TableRequest:
    """The columns to read from a table, and the names of the table in messages."""

    name: str
    """The file in errors about its columns, such as `stock.csv`."""
    label: str
    """The file in other errors, such as `--records stock.csv`."""
    columns: Mapping[str, WantedColumn]
    """The wanted columns by our names."""
    fold: Callable[[str], str]
    """Brings a column name to the form in which names are compared."""
    hint: Callable[[list[str]], str]
    """Returns advice about missing columns, from our names of these columns. Empty text means no advice."""
    quotes_names: bool = False
    """True if errors quote column names, because users choose these names."""
    accepts_stray_quotes: bool = False
    """True if a CSV row with a stray quote is used, provided that it has as many cells as the header."""


def fold_case(name: str) -> str:
    """Return a column name in lower case, with single spaces."""
    return " ".join(trim(name).split()).lower()


def fold_words(name: str) -> str:
    """Return a column name in lower case, with underscores for spaces: `Unit Cost` is unit_cost."""
    return fold_case(name).replace(" ", "_")


def fold_letters(name: str) -> str:
    """Return the letters and digits of a column name in lower case: `Object-Key` is objectkey."""
    return "".join(filter(str.isalnum, name)).lower()


def find_columns(header: Sequence[str], request: TableRequest) -> dict[str, int] | None:
    """Return the positions of the wanted columns by our names, or None if a required column is missing.

    Raises:
        UsageError: two columns have the same name, so it is unclear which one is meant.
    """
    folded = [request.fold(name) for name in header]
    chosen = {ours: _choose(folded, wanted, request) for ours, wanted in request.columns.items()}
    if any(name is None and request.columns[ours].is_required for ours, name in chosen.items()):
        return None
    positions = {}
    for ours, name in chosen.items():
        if name is not None:
            same = [position for position, other in enumerate(folded) if other == name]
            if len(same) == 1:
                positions[ours] = same[0]
                continue
            problem = f"{request.name} has several columns of one name: {_list_positions(header, same)}"
            notify = request.columns[ours].if_repeated
            if notify is None:
                raise UsageError(f"{problem}; rename all but one of them")
            notify(problem)
    return positions


def missing_columns(header: Sequence[str], request: TableRequest) -> UsageError:
    """Return the error for a table without the required columns.

    Args:
        header: the columns that the table has.
        request: the columns that it needs.
    """
    folded = [request.fold(name) for name in header]
    missing = [
        ours
        for ours, wanted in request.columns.items()
        if wanted.is_required and _choose(folded, wanted, request) is None
    ]
    names = [request.columns[ours].names[0] for ours in missing]
    if request.quotes_names:
        names = [repr(name) for name in names]
    hint = request.hint(missing)
    return UsageError(
        f"{request.name} has no column {' and no column '.join(names)} (its columns: {list_columns(header)})"
        f"{'; ' if hint else ''}{hint}"
    )


def list_columns(header: Sequence[str]) -> str:
    """Return the names of the first columns as text."""
    names = [name.strip()[:100] for name in header if name.strip()]
    return ", ".join(names[:_MOST_LISTED]) or "none"


def _choose(folded: Sequence[str], wanted: WantedColumn, request: TableRequest) -> str | None:
    """Return the first accepted name that a table has, in its folded form."""
    return next((name for name in map(request.fold, wanted.names) if name in folded), None)


def _list_positions(header: Sequence[str], positions: Sequence[int]) -> str:
    return " and ".join(f"column {position + 1} ({header[position].strip()!r})" for position in positions)
