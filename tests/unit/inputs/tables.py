"""Write small tables of records in any format, and load them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.inputs.records_table import load_table
from reconcile.inputs.table_options import TableOptions
from reconcile.inputs.tables.formats import split_sheet
from reconcile.resources import query
from tests.workbooks import write_workbook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.setting_types import Aggregate, DecimalMark


TEXT_FORMATS = ("csv", "tsv", "jsonl")
FORMATS = (*TEXT_FORMATS, "parquet", "xlsx")
HEADER = ("bin_id", "expected_quantity")


def write_table(folder: Path, kind: str, rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER) -> Path:
    """Write rows as `stock.KIND`, and return its path. Rows of Parquet have the type of the first one."""
    path = folder / f"stock.{kind}"
    if kind in ("csv", "tsv"):
        text = io.StringIO()
        csv.writer(text, delimiter="," if kind == "csv" else "\t").writerows([header, *rows])
        path.write_bytes(text.getvalue().encode())
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.table([pa.array(column) for column in zip(*rows, strict=True)], list(header)), path)
    else:
        write_workbook(path, {"Sheet1": [header, *rows]})
    return path


def load(
    path: Path,
    aggregate: Aggregate | None = "same",
    decimal: DecimalMark | None = None,
    columns: dict[str, str] | None = None,
) -> list[tuple[str | None, int | None, str | None]]:
    """Load a table, and return bin id, quantity and reason of each row, in the order of the file.

    Args:
        path: the file, possibly with a sheet: `stock.xlsx#Sheet2`.
        aggregate: the treatment of several rows of a bin.
        decimal: the decimal mark.
        columns: our names of columns to those of the table.
    """
    return load_with_notes(path, TableOptions(columns or {}, aggregate, decimal))[0]


def load_with_notes(
    path: Path, options: TableOptions
) -> tuple[list[tuple[str | None, int | None, str | None]], list[str]]:
    """Load a table, and return its rows as `load` does, and the notes for the user."""
    with duckdb.connect() as database:
        database.execute(query("macros"))
        notes = load_table(database, Path(split_sheet(str(path))[0]), path.name, options)
        columns = "nullif(trim(bin_id), ''), expected_quantity, reason"
        return database.sql(f"SELECT {columns} FROM source_rows ORDER BY line").fetchall(), notes
