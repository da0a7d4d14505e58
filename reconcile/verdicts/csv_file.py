"""Read CSV files of verdicts, as the report exports them or as people and spreadsheets write them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from reconcile.inputs.spreadsheet_csv import InvalidLine, parse_number, read_csv_lines

if TYPE_CHECKING:
    from pathlib import Path


_REQUIRED = ("bin_id", "run_id", "true_count")
_MOST_ITEMS = 99_999
"""The largest count of one bin. A larger number was probably scanned from a barcode."""


@dataclass(frozen=True)
class VerdictLine:
    """One verdict of a file."""

    line: int
    """The line's number in the file, see `spreadsheet_csv.CsvLine.number`."""
    bin_id: str
    run_id: str
    true_count: int
    note: str | None
    image_key: str | None
    """The key in recount.csv. It identifies the bin even if a spreadsheet removed the zeros from the id."""


def read_verdict_file(path: Path) -> tuple[list[VerdictLine], list[InvalidLine]]:
    """Read a CSV file with the columns bin_id, run_id and true_count, and optionally note and image_key.

    Lines without a true_count were not recounted and are skipped.

    Args:
        path: the file, in any form that `spreadsheet_csv.read_csv_lines` accepts.

    Returns:
        the valid lines and the invalid ones.

    Raises:
        UsageError: the file cannot be read, or a column is missing.
    """
    verdicts: list[VerdictLine] = []
    invalid: list[InvalidLine] = []
    for line in read_csv_lines(path, str(path), _REQUIRED):
        if isinstance(line, InvalidLine):
            invalid.append(line)
        elif line.cells.get("true_count"):
            try:
                verdicts.append(_parse_verdict(line.cells, line.number))
            except ValueError as error:
                invalid.append(InvalidLine(line.number, str(error)))
    return verdicts, invalid


def _parse_verdict(cells: dict[str, str], line: int) -> VerdictLine:
    for name in ("bin_id", "run_id"):
        if not cells.get(name):
            raise ValueError(f"{name} is empty")
    bin_id, count = cells["bin_id"], cells["true_count"]
    try:
        number = parse_number(count)
    except ValueError:
        exact = "; write the exact count" if count.endswith("+") else ""
        raise ValueError(f"true_count of bin {bin_id[:100]!r} is not a number: {count[:40]!r}{exact}") from None
    if not 0 <= number < inf or number != int(number):
        raise ValueError(f"true_count of bin {bin_id[:100]!r} is not a whole number from 0 on: {count[:40]!r}")
    if number > _MOST_ITEMS:
        raise ValueError(
            f"true_count of bin {bin_id[:100]!r} is over {_MOST_ITEMS:,}: {count[:40]!r}; is it a barcode?"
        )
    return VerdictLine(
        line, bin_id, cells["run_id"], int(number), cells.get("note") or None, cells.get("image_key") or None
    )
