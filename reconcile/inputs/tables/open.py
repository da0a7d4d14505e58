"""Open a table file of any format."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reconcile.errors import UsageError
from reconcile.inputs.tables.csv_table import open_csv
from reconcile.inputs.tables.formats import TableFormat, detect_format, split_sheet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.inputs.tables.batches import Table
    from reconcile.inputs.tables.columns import TableRequest


def open_table(path: Path, location: str, request: TableRequest) -> Table:
    """Find the wanted columns of a table file.

    Args:
        path: the file on this machine.
        location: the file as the user named it, possibly with a sheet: `stock.xlsx#Sheet2`.
        request: the wanted columns.

    Raises:
        UsageError: a column or the sheet is missing, two columns have one name, or reconcile cannot read the format.
        ReconcileError: the file is empty, damaged or missing.
    """
    name, sheet = split_sheet(location)
    file_format = detect_format(path, name, request.label)
    if file_format is TableFormat.WORKBOOK:
        from reconcile.inputs.tables.workbook import open_workbook

        return open_workbook(path, request, sheet)
    if sheet is not None:
        raise UsageError(f"{request.label} is not a workbook, so it has no sheet {sheet!r}")
    if file_format is TableFormat.PARQUET:
        from reconcile.inputs.tables.parquet import open_parquet

        return open_parquet(path, request)
    if file_format is TableFormat.JSON_LINES:
        from reconcile.inputs.tables.json_lines import open_json_lines

        return open_json_lines(path, request)
    return open_csv(path, request)


class TableRow(NamedTuple):
    """One row of a table."""

    number: int
    """The number of the row that a spreadsheet shows: a cell with line breaks is one line."""
    cells: dict[str, object]
    """Cells by our names. Columns that the table lacks are absent."""


class InvalidLine(NamedTuple):
    """A row that cannot be used."""

    number: int
    """The number of the row that a spreadsheet shows."""
    reason: str


def read_rows(table: Table) -> Iterator[TableRow | InvalidLine]:
    """Yield the rows of a table one by one, in their order within each batch. Empty rows are left out.

    Raises:
        ReconcileError: the file turns out to be damaged.
    """
    for batch in table.read():
        columns = [column if isinstance(column, list) else column.to_pylist() for column in batch.cells.values()]
        rows: list[TableRow | InvalidLine] = [
            TableRow(line, dict(zip(batch.cells, cells, strict=True)))
            for line, *cells in zip(batch.lines, *columns, strict=True)
        ]
        rows += [InvalidLine(row.line, row.reason) for row in batch.unreadable]
        yield from sorted(rows, key=lambda row: row.number)
