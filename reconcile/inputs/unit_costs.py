"""Read unit costs by ASIN from a CSV file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from reconcile.errors import UsageError
from reconcile.inputs.spreadsheet_csv import InvalidLine, parse_number, read_csv_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


COSTS_SCHEMA = pa.schema([("asin", pa.string()), ("unit_cost", pa.float64())])
_MAX_COST = 1e12
"""The largest unit cost, in any currency. With this limit, sums of costs stay finite."""


def read_costs(path: Path, source: str, warn: Callable[[str], None]) -> pa.Table:
    """Read a CSV file with the columns asin and unit_cost, in any form that `read_csv_lines` accepts.

    Args:
        path: the file on this machine.
        source: the file as the user named it.
        warn: called with one message per line of the file that is ignored.

    Returns:
        a table with the columns of COSTS_SCHEMA. Each ASIN occurs once.

    Raises:
        UsageError: the file cannot be read, lacks a column, or has no valid line.
    """
    costs: dict[str, float] = {}
    for line in read_csv_lines(path, f"--costs {source}", ("asin", "unit_cost")):
        where = f"--costs {source} line {line.number}"
        if isinstance(line, InvalidLine):
            warn(f"{where}: {line.reason}; the line is ignored")
            continue
        asin, cost = line.cells.get("asin", ""), _parse_cost(line.cells.get("unit_cost", ""))
        if not asin or cost is None:
            warn(f"{where}: the ASIN is missing, or the unit cost is not a valid number; the line is ignored")
        elif costs.setdefault(asin, cost) != cost:
            warn(f"{where}: ASIN {asin} has another cost in an earlier line; this line is ignored")
    if not costs:
        raise UsageError(f"--costs {source} has no valid line; each line needs an ASIN and a unit cost")
    return pa.table({"asin": list(costs), "unit_cost": list(costs.values())}, schema=COSTS_SCHEMA)


def _parse_cost(text: str) -> float | None:
    """Return a unit cost, or None if the text is not a number from 0 to the maximum."""
    try:
        cost = parse_number(text)
    except ValueError:
        return None
    return cost if 0 <= cost <= _MAX_COST else None
