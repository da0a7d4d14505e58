"""Load records from a table: CSV, a workbook, Parquet or JSON Lines."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.inputs.quantities import AmbiguousNumber, Form, decide_mark, parse_number
from reconcile.inputs.table_loader import TableLoader
from reconcile.inputs.table_options import TableOptions
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, fold_case
from reconcile.inputs.tables.formats import ENDINGS, format_of_name, split_sheet
from reconcile.inputs.tables.open import open_table
from reconcile.resources import query
from reconcile.text import plural

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.inputs.quantities import NumberForms
    from reconcile.inputs.tables.batches import Table
    from reconcile.setting_types import DecimalMark


_PRODUCT_IDS, _PRODUCT_NAMES = ("product_id", "asin", "sku"), ("product_name",)
"""Columns that a table with a row per product may have under these names."""
_HASHES_AT_ONCE = 4_000_000


def check_name(source: str) -> None:
    """Check the ending of the name of a table.

    Args:
        source: the file as the user named it, possibly with a sheet: `stock.xlsx#Sheet2`.

    Raises:
        UsageError: no table has this ending.
    """
    if format_of_name(PurePosixPath(split_sheet(source)[0]).name) is None:
        raise UsageError(f"--records {source}: expected a file ending in {', '.join(ENDINGS)}")


def load_table(
    database: duckdb.DuckDBPyConnection, path: Path, source: str, options: TableOptions | None = None
) -> list[str]:
    """Create the table `source_rows` with every row of the file, checked.

    The table has the columns line, bin_id, expected_quantity, changed_at and reason. `line` is the number that a person
    sees: the first line of a CSV file has number 1. A row that cannot be used has a reason and no quantity. With
    `options.has_products`, there is a table `product_rows` as well; see sql/inputs/items_from_products.sql.

    Args:
        database: where to create the tables.
        path: the file on this machine.
        source: the file as the user named it, possibly with a sheet.
        options: how to read the table.

    Returns:
        notes for the user about how the table was read.

    Raises:
        UsageError: the file lacks a column, has two of one name or an unknown ending. Or a quantity has two readings.
            Or a bin has several rows, and `options` does not state their treatment.
        ReconcileError: the file is empty, or cannot be read in its format.
    """
    options = options or TableOptions()
    check_name(source)
    table = open_table(path, source, _request(source, options))
    try:
        notes = _load(TableLoader(database, table, source, options), table, options, source)
        if options.aggregate is None:
            _refuse_repeated_bins(database, source)
    except duckdb.Error as error:
        raise ReconcileError(f"--records {source} cannot be read: {first_line(error)}") from None
    return notes


def _load(loader: TableLoader, table: Table, options: TableOptions, source: str) -> list[str]:
    """Load all rows, a second time if their decimal mark becomes known at the end. Return the notes for the user."""
    notes = [] if table.note is None else [table.note]
    forms = loader.load(options.decimal)
    if options.decimal is None:
        mark, note = _decide(forms, table.delimiter, source)
        notes += [] if note is None else [note]
        if forms.ambiguous is not None:
            loader.load(mark)
    if options.has_products:
        loader.make_records()
    if loader.lost_products:
        lost = plural(loader.lost_products, "product id")
        notes.append(f"--records {source}: {lost} cannot be used, for example: {loader.lost_example}")
    return notes


def _request(source: str, options: TableOptions) -> TableRequest:
    """Return the columns to look for. Product columns are optional unless the user names them."""
    columns = {ours: options.columns.get(ours, ours) for ours in ("bin_id", "expected_quantity")}
    wanted = {ours: WantedColumn((name,)) for ours, name in (columns | dict(options.columns)).items()}
    if options.has_products:
        wanted.setdefault("product_id", WantedColumn(_PRODUCT_IDS, is_required=False))
        wanted.setdefault("product_name", WantedColumn(_PRODUCT_NAMES, is_required=False))

    def hint(missing: list[str]) -> str:
        pairs = ",".join(f"{ours}=COLUMN" for ours in missing)
        return f"name the right {'one' if len(missing) == 1 else 'ones'} with --records-columns {pairs}"

    label = f"--records {source}"
    return TableRequest(source, label, wanted, fold_case, hint, quotes_names=True, accepts_stray_quotes=True)


def _decide(forms: NumberForms, delimiter: str | None, source: str) -> tuple[DecimalMark | None, str | None]:
    """Return the decimal mark of the quantities, if it is known, and a note for the user.

    Raises:
        UsageError: a quantity has two readings, and nothing decides.
    """
    mark, why = decide_mark(forms, delimiter)
    if forms.ambiguous is not None and mark is None:
        line, text = forms.ambiguous
        try:
            parse_number(text)
        except AmbiguousNumber as error:
            text = str(error)
        raise UsageError(
            f"--records {source}: the quantity in row {line} is {text}; say which with --records-decimal comma or "
            "--records-decimal point"
        )
    if mark == "comma":
        return mark, f"--records {source}: a comma in quantities is the decimal comma, because {why}"
    if mark == "point" and forms.ambiguous is not None:
        what = "a comma in quantities separates thousands" if Form.AMBIGUOUS_COMMA in forms.examples else "a point is"
        return mark, f"--records {source}: {what}, because {why}"
    return mark, None


def _refuse_repeated_bins(database: duckdb.DuckDBPyConnection, source: str) -> None:
    """Refuse a table with several valid rows of one bin, because each may be a product of it.

    Raises:
        UsageError: there is such a bin.
    """
    if not _may_repeat(database):
        return
    repeated = f"({query('inputs/repeated_bins')})"
    number, bin_id, first, second = database.execute(
        f"SELECT count(*), arg_min(bin, first_line), min(first_line), arg_min(second_line, first_line) FROM {repeated}"
    ).fetchall()[0]
    if number:
        example = f"rows {first} and {second} for bin {bin_id[:100]!r}"
        raise UsageError(
            f"--records {source} has several rows for {plural(number, 'bin')}, such as {example}; "
            "--records-aggregate sum adds up the rows of a bin, and --records-aggregate same accepts rows that agree"
        )


def _may_repeat(database: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether two valid rows may have the same bin id: whether the hashes of two ids are equal.

    Sorting hashes takes a fraction of the time of grouping by ids. A part of the hashes is sorted at a time.
    """
    rows = len(database.table("source_rows"))
    parts = -(-rows // _HASHES_AT_ONCE)
    for part in range(parts):
        wanted = f"AND number % {parts} = {part}" if parts > 1 else ""
        columns = database.execute(
            f"SELECT hash(trim(bin_id)) AS number FROM source_rows WHERE reason IS NULL {wanted}"
        ).fetchnumpy()
        hashes = np.asarray(columns["number"])
        hashes.sort()
        if (hashes[1:] == hashes[:-1]).any():
            return True
    return False
