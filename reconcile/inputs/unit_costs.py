"""Read unit costs by ASIN from a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.cells import InvalidId, id_of_cell
from reconcile.inputs.quantities import InvalidNumber, NumberForms, decide_mark, is_blank, parse_number
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, fold_words
from reconcile.inputs.tables.open import InvalidLine, open_table, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconcile.inputs.tables.batches import Table
    from reconcile.setting_types import DecimalMark


COSTS_SCHEMA = pa.schema([("asin", pa.string()), ("unit_cost", pa.float64())])
_MAX_COST = 1e12
"""The largest unit cost, in any currency. With this limit, sums of costs stay finite."""


def read_costs(path: Path, source: str, warn: Callable[[str], None]) -> pa.Table:
    """Read a table with the columns asin and unit_cost: CSV, a workbook, Parquet or JSON Lines.

    Args:
        path: the file on this machine.
        source: the file as the user named it, possibly with a sheet: `costs.xlsx#Sheet2`.
        warn: called with one message per line of the file that is ignored, and with the decimal mark of costs that have
            two readings.

    Returns:
        a table with the columns of COSTS_SCHEMA. Each ASIN occurs once.

    Raises:
        UsageError: the file cannot be read, lacks a column, or has no valid line.
    """
    costs: dict[str, float] = {}
    try:
        table = open_table(path, source, _request(source))
        mark = _find_mark(table, source, warn)
        for row in read_rows(table):
            label = f"--costs {source} line {row.number}"
            if isinstance(row, InvalidLine):
                warn(f"{label}: {row.reason}; the line is ignored")
                continue
            try:
                asin, cost = _parse(row.cells, mark)
            except ValueError as error:
                warn(f"{label}: {error}; the line is ignored")
                continue
            if costs.setdefault(asin, cost) != cost:
                warn(f"{label}: ASIN {asin} has another cost in an earlier line; this line is ignored")
    except UsageError:
        raise
    except ReconcileError as error:
        raise UsageError(str(error)) from None
    if not costs:
        raise UsageError(f"--costs {source} has no valid line; each line needs an ASIN and a unit cost")
    return pa.table({"asin": list(costs), "unit_cost": list(costs.values())}, schema=COSTS_SCHEMA)


def _request(source: str) -> TableRequest:
    columns = {name: WantedColumn((name,)) for name in ("asin", "unit_cost")}
    label = f"--costs {source}"
    return TableRequest(label, label, columns, fold_words, lambda missing: "")


def _find_mark(table: Table, source: str, warn: Callable[[str], None]) -> DecimalMark | None:
    """Return the decimal mark of the costs if it is needed, and warn that it was."""
    forms = NumberForms()
    for row in read_rows(table):
        if not isinstance(row, InvalidLine):
            forms.add(row.number, row.cells["unit_cost"])
    mark, why = decide_mark(forms, table.delimiter)
    if forms.ambiguous is not None and mark is not None:
        warn(f"--costs {source}: unit costs have a decimal {mark}, because {why}")
    return mark


def _parse(cells: dict[str, object], mark: DecimalMark | None) -> tuple[str, float]:
    """Return the ASIN and the unit cost of a line.

    Raises:
        ValueError: one of them is missing or invalid; the message is the reason.
    """
    try:
        asin = id_of_cell(cells["asin"]).strip()
    except InvalidId as error:
        raise ValueError(str(error)) from None
    if not asin:
        raise ValueError("the ASIN is missing")
    if is_blank(cells["unit_cost"]):
        raise ValueError("the unit cost is missing")
    try:
        number = parse_number(cells["unit_cost"], mark)
    except InvalidNumber as error:
        raise ValueError(f"the unit cost is {error}") from None
    if not number.is_finite() or not 0 <= number <= _MAX_COST:
        raise ValueError(f"the unit cost is not a number from 0 to {_MAX_COST:.0e}: {str(cells['unit_cost'])[:40]}")
    return asin, float(number)
