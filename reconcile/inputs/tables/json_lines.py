"""Read tables from JSON Lines: one JSON object on each line."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from reconcile.inputs.tables.batches import ROWS_AT_ONCE, Batch, Table, UnreadableRow, readable
from reconcile.inputs.tables.text_files import open_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.inputs.tables.columns import TableRequest


_MAX_LINE = 16 * 1024 * 1024
"""The most characters of a line."""


class _RepeatedNames(dict[str, Any]):
    """A JSON object in which a name occurs several times."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = {name for name in names if names.count(name) > 1}


def open_json_lines(path: Path, request: TableRequest) -> Table:
    """Open a JSON Lines file. Names have to match exactly, and a line may lack any of them. Blank lines are skipped.

    A line that is not a JSON object, or in which a wanted name occurs twice, breaks only its own row.

    Args:
        path: the file on this machine.
        request: the wanted columns.
    """
    accepted = {ours: wanted.names for ours, wanted in request.columns.items()}
    known = {name for names in accepted.values() for name in names}

    def read() -> Iterator[Batch]:
        rows: list[tuple[int, dict[str, Any]]] = []
        unreadable: list[UnreadableRow] = []
        with readable(request.label), closing(open_text(path)) as text:
            for number, line in enumerate(_lines(text), start=1):
                if not line.strip():
                    continue
                row = _parse(line, known)
                if isinstance(row, str):
                    unreadable.append(UnreadableRow(number, row, []))
                else:
                    rows.append((number, row))
                if len(rows) + len(unreadable) == ROWS_AT_ONCE:
                    yield _batch(rows, unreadable, accepted)
                    rows, unreadable = [], []
            yield _batch(rows, unreadable, accepted)

    return Table(read)


def _lines(text: Any) -> Iterator[str]:
    """Iterate over lines. Only the first characters of a line that is too long are returned, so it cannot be parsed."""
    while line := text.readline(_MAX_LINE):
        rest = line
        while len(rest) == _MAX_LINE and not rest.endswith("\n"):
            rest = text.readline(_MAX_LINE)
        yield line


def _parse(line: str, known: set[str]) -> dict[str, Any] | str:
    """Return the JSON object of a line, or the reason why the line cannot be used."""
    try:
        row = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return "the row cannot be parsed"
    if not isinstance(row, dict):
        return "the row is not a JSON object"
    repeated = known & row.repeated if isinstance(row, _RepeatedNames) else set()
    return f"the name {min(repeated)!r} occurs several times" if repeated else row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    return row if len(row) == len(pairs) else _RepeatedNames(pairs)


def _batch(
    rows: list[tuple[int, dict[str, Any]]], unreadable: list[UnreadableRow], accepted: dict[str, tuple[str, ...]]
) -> Batch:
    cells: dict[str, Any] = {}
    for ours, (name, *others) in accepted.items():
        cells[ours] = [row.get(name) for _, row in rows]
        for other in others:
            pairs = zip(cells[ours], rows, strict=True)
            cells[ours] = [row.get(other) if cell is None else cell for cell, (_, row) in pairs]
    return Batch([number for number, _ in rows], cells, unreadable)
