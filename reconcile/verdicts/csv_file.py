"""Reads what people wrote down when they recounted: CSV as the report, a hand or Excel leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from reconcile.inputs.spreadsheet_csv import InvalidLine, parse_number, read_csv_lines

if TYPE_CHECKING:
    from pathlib import Path


_REQUIRED = ("bin_id", "run_id", "true_count")
_MOST_ITEMS = 99_999
"""In one bin. What is more was read from a barcode, most likely."""


@dataclass(frozen=True)
class VerdictLine:
    """One line as it was written."""

    line: int
    """See `spreadsheet.Line.number`."""
    bin_id: str
    run_id: str
    true_count: int
    note: str | None
    image_key: str | None
    """Of recount.csv; says which bin is meant also where a spreadsheet took the zeros off its id."""


def read_verdict_file(path: Path) -> tuple[list[VerdictLine], list[InvalidLine]]:
    """Read a CSV file with the columns bin_id, run_id, true_count, and perhaps note and image_key.

    Lines without a true_count were not recounted and are passed over.

    Args:
        path: the file, in any of the forms of `spreadsheet.read_lines`.

    Returns:
        the good lines and the bad ones.

    Raises:
        UsageError: the file cannot be read, or lacks a column.
    """
    good: list[VerdictLine] = []
    bad: list[InvalidLine] = []
    for line in read_csv_lines(path, str(path), _REQUIRED):
        if isinstance(line, InvalidLine):
            bad.append(line)
        elif line.cells.get("true_count"):
            try:
                good.append(_verdict(line.cells, line.number))
            except ValueError as error:
                bad.append(InvalidLine(line.number, str(error)))
    return good, bad


def _verdict(cells: dict[str, str], line: int) -> VerdictLine:
    for name in ("bin_id", "run_id"):
        if not cells.get(name):
            raise ValueError(f"there is no {name}")
    bin_id, count = cells["bin_id"], cells["true_count"]
    try:
        number = parse_number(count)
    except ValueError:
        exact = "; say how many exactly" if count.endswith("+") else ""
        raise ValueError(f"true_count of bin {bin_id[:100]!r} is no number: {count[:40]!r}{exact}") from None
    if not 0 <= number < inf or number != int(number):
        raise ValueError(f"true_count of bin {bin_id[:100]!r} is no count: {count[:40]!r}")
    if number > _MOST_ITEMS:
        raise ValueError(f"true_count of bin {bin_id[:100]!r} is over {_MOST_ITEMS:,}: {count[:40]!r}; a barcode?")
    return VerdictLine(
        line, bin_id, cells["run_id"], int(number), cells.get("note") or None, cells.get("image_key") or None
    )
