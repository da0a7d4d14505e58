"""Read tables from JSON Lines: one JSON object on each line."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile.inputs.json_objects import RepeatedNames, keep_repeated_names
from reconcile.inputs.tables.batches import ROWS_AT_ONCE, Batch, Table, UnreadableRow, readable
from reconcile.inputs.tables.text_files import open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconcile.inputs.tables.columns import TableRequest


_LINES_AT_ONCE = 512
"""With more lines, their objects do not fit into the caches of a CPU."""
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # its stubs omit it
_LINE_ENDS = ("\n", "", "\r\n", "\r")


def open_json_lines(path: Path, request: TableRequest) -> Table:
    """Open a JSON Lines file. Names have to match exactly, and a line may lack any of them. Blank lines are skipped.

    A line that is not a JSON object, or in which a wanted name occurs twice, breaks only its own row.

    Args:
        path: the file on this machine.
        request: the wanted columns.
    """
    accepted = [wanted.names for wanted in request.columns.values()]
    known = [f'"{name}"' for names in accepted for name in names]

    def read() -> Iterator[Batch]:
        with readable(request.label), closing(open_text(path)) as text:
            lines, unreadable = list[int](), list[UnreadableRow]()
            columns: list[list[object]] = [[] for _ in accepted]
            start = 1
            while block := list(islice(text, _LINES_AT_ONCE)):
                rows: list[dict[str, Any]] = []
                for number, line in enumerate(block, start=start):
                    row = _parse(line, known)
                    if isinstance(row, dict):
                        lines.append(number)
                        rows.append(row)
                    elif row is not None:
                        unreadable.append(UnreadableRow(number, row, []))
                start += len(block)
                for column, names in zip(columns, accepted, strict=True):
                    column += _cells(rows, names)
                if len(lines) + len(unreadable) >= ROWS_AT_ONCE:
                    yield Batch(lines, dict(zip(request.columns, columns, strict=True)), unreadable)
                    lines, unreadable, columns = [], [], [[] for _ in accepted]
            yield Batch(lines, dict(zip(request.columns, columns, strict=True)), unreadable)

    return Table(read)


def _cells(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[object]:
    """Return the value of each row under the first of some names for which it has one."""
    if len(names) == 1:
        return [row.get(names[0]) for row in rows]
    return [next((row[name] for name in names if row.get(name) is not None), None) for row in rows]


def _parse(line: str, known: Sequence[str]) -> dict[str, Any] | str | None:
    """Return the JSON object of a line, or why the line cannot be used. Return None for a blank line.

    Args:
        line: the line, possibly with its end.
        known: the wanted names in quotes.
    """
    try:
        # This takes a third of the time of json.loads, which has to call us for each object to find repeated names.
        row, end = _scan(line, 0)
        if type(row) is dict and line[end:] in _LINE_ENDS and "\\" not in line:
            for name in known:
                if line.count(name) > 1:
                    break
            else:
                return row
    except (StopIteration, ValueError, RecursionError):
        pass
    return _parse_carefully(line, known)


def _parse_carefully(line: str, known: Sequence[str]) -> dict[str, Any] | str | None:
    try:
        row = json.loads(line, object_pairs_hook=keep_repeated_names)
    except (ValueError, RecursionError):
        return "the row cannot be parsed" if line.strip() else None
    if not isinstance(row, dict):
        return "the row is not a JSON object"
    for name, value in row.items():
        if isinstance(value, str):  # JSON can hold halves of surrogate pairs, but UTF-8 cannot
            row[name] = value.encode("utf-8", "replace").decode()
    repeated = [name for name in known if isinstance(row, RepeatedNames) and name[1:-1] in row.repeated]
    return f"the name {repeated[0]} occurs several times" if repeated else row
