"""Read files of verdicts, as the report exports them or as people and spreadsheets write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.cells import cell_text, id_of_cell, unescape_formula, unguard_id
from reconcile.inputs.quantities import InvalidNumber, NumberForms, decide_mark, is_blank, parse_number
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, fold_words
from reconcile.inputs.tables.formats import split_sheet
from reconcile.inputs.tables.open import InvalidLine, TableRow, open_table, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconcile.setting_types import DecimalMark


REQUIRED, OPTIONAL = ("bin_id", "run_id", "true_count"), ("note", "image_key", "counted_by", "reason")
"""The columns of a file of verdicts."""
_MOST_ITEMS = 99_999
"""The largest count of one bin. A larger number was probably scanned from a barcode."""


@dataclass(frozen=True)
class VerdictLine:
    """One verdict of a file."""

    line: int
    """The line's number in the file, see `tables.open.TableRow.number`."""
    bin_id: str
    run_id: str
    true_count: int
    note: str | None
    image_key: str | None
    """The key in recount.csv. It identifies the bin even if a spreadsheet removed the zeros from the id."""
    counted_by: str | None = None
    reason: str | None = None


def read_verdict_file(path: Path, name: str | None = None) -> tuple[list[VerdictLine], list[InvalidLine]]:
    """Read a table with the columns bin_id, run_id and true_count, and optionally those in `OPTIONAL`.

    Lines without a true_count were not recounted and are skipped.

    Args:
        path: the file: CSV, a workbook, Parquet or JSON Lines. `verdicts.xlsx#Sheet2` names a sheet.
        name: the file in errors; the path by default.

    Returns:
        the valid lines and the invalid ones.

    Raises:
        UsageError: the file cannot be read, or a column is missing.
    """
    try:
        rows, mark = _read_rows(path, name or str(path))
    except UsageError:
        raise
    except ReconcileError as error:
        raise UsageError(str(error)) from None
    verdicts: list[VerdictLine] = []
    invalid: list[InvalidLine] = []
    for row in rows:
        if isinstance(row, InvalidLine):
            invalid.append(row)
        elif not is_blank(row.cells["true_count"]):
            try:
                verdicts.append(_parse_verdict(row, mark))
            except ValueError as error:
                invalid.append(InvalidLine(row.number, str(error)))
    return verdicts, invalid


def request_columns(names: Iterable[str], label: str) -> TableRequest:
    """Return a request for columns of a file of verdicts.

    Args:
        names: the columns. Those in `REQUIRED` are required, in any spelling that `fold_words` accepts.
        label: the file in errors.
    """
    columns = {name: WantedColumn((name,), is_required=fold_words(name) in REQUIRED) for name in names}
    return TableRequest(label, label, columns, fold_words, lambda missing: "")


def _read_rows(path: Path, label: str) -> tuple[list[TableRow | InvalidLine], DecimalMark | None]:
    """Return all rows of a file, and the decimal mark of the counts if it is known."""
    request = request_columns((*REQUIRED, *OPTIONAL), label)
    table = open_table(Path(split_sheet(str(path))[0]), str(path), request)
    rows = list(read_rows(table))
    forms = NumberForms()
    for row in rows:
        if isinstance(row, TableRow):
            forms.add(row.number, row.cells["true_count"])
    return rows, decide_mark(forms, table.delimiter)[0]


def _parse_verdict(row: TableRow, mark: DecimalMark | None) -> VerdictLine:
    cells = {name: unescape_formula(cell_text(cell)) for name, cell in row.cells.items()}
    for name in ("bin_id", "run_id"):
        if not cells.get(name):
            raise ValueError(f"{name} is empty")
    bin_id, count, key = unguard_id(cells["bin_id"]), cells["true_count"], cells.get("image_key")
    if not key:  # without the key of the photo, an id that a spreadsheet has rewritten cannot be restored
        bin_id = id_of_cell(row.cells["bin_id"])
        if not bin_id:
            raise ValueError(f"bin_id is missing: {cells['bin_id'][:40]}")
    number = _parse_count(bin_id[:100], row.cells["true_count"], count, mark)
    note, counted_by, reason = (cells.get(name) or None for name in ("note", "counted_by", "reason"))
    return VerdictLine(row.number, bin_id, cells["run_id"], number, note, key or None, counted_by, reason)


def _parse_count(bin_id: str, cell: object, text: str, mark: DecimalMark | None) -> int:
    """Return a true count.

    Raises:
        ValueError: the cell holds no count; the message names the bin.
    """
    try:
        number = parse_number(text if isinstance(cell, str) else cell, mark)
    except InvalidNumber as error:
        exact = "; write the exact count" if text.endswith("+") else ""
        raise ValueError(f"true_count of bin {bin_id!r} is {error.problem}: {text[:40]!r}{exact}") from None
    if number.is_finite() and number > _MOST_ITEMS:
        raise ValueError(f"true_count of bin {bin_id!r} is over {_MOST_ITEMS:,}: {text[:40]!r}; is it a barcode?")
    if not number.is_finite() or number < 0 or number % 1:
        raise ValueError(f"true_count of bin {bin_id!r} is not a whole number of 0 or more: {text[:40]!r}")
    return int(number)
