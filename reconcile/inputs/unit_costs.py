"""What one item of a product costs, from a table the user has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from reconcile.errors import UsageError
from reconcile.inputs.spreadsheet_csv import InvalidLine, parse_number, read_csv_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


COSTS_SCHEMA = pa.schema([("asin", pa.string()), ("unit_cost", pa.float64())])
_MOST = 1e12
"""In any currency; so that sums of costs stay numbers."""


def read_costs(path: Path, source: str, say: Callable[[str], None]) -> pa.Table:
    """Read a CSV file with the columns asin and unit_cost, in any of the forms of `spreadsheet.read_lines`.

    Args:
        path: the file on this machine.
        source: what the user calls it.
        say: called with one line for each line of the file that is left out.

    Returns:
        COSTS_SCHEMA, each ASIN once.

    Raises:
        UsageError: it cannot be read, lacks a column, or has no usable line.
    """
    costs: dict[str, float] = {}
    for line in read_csv_lines(path, f"--costs {source}", ("asin", "unit_cost")):
        where = f"--costs {source} line {line.number}"
        if isinstance(line, InvalidLine):
            say(f"{where}: {line.reason}; left out")
            continue
        asin, cost = line.cells.get("asin", ""), _cost(line.cells.get("unit_cost", ""))
        if not asin or cost is None:
            say(f"{where}: no ASIN, or a unit cost that is no number; left out")
        elif costs.setdefault(asin, cost) != cost:
            say(f"{where}: {asin} has another cost above; left out")
    if not costs:
        raise UsageError(f"--costs {source} has no usable line")
    return pa.table({"asin": list(costs), "unit_cost": list(costs.values())}, schema=COSTS_SCHEMA)


def _cost(text: str) -> float | None:
    try:
        cost = parse_number(text)
    except ValueError:
        return None
    return cost if 0 <= cost <= _MOST else None
