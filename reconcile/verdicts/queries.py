"""Query the verdicts in `<out>/verdicts`."""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq

from reconcile.database import literal_path, open_database
from reconcile.errors import ReconcileError, first_line
from reconcile.output.schemas import VERDICTS_SCHEMA
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from reconcile.output.store import Output


FOLDER = "verdicts"


def verdict_table(output: Output, work: Path) -> pd.DataFrame:
    """Return all verdicts, the newest first. If a photo has several verdicts, only the last one is returned."""
    with open_verdicts(output.local_parts(FOLDER, work), work) as database:
        table: pd.DataFrame = database.sql(query("verdicts/list")).df()
    return table


def verdict_csv(output: Output, work: Path) -> tuple[int, bytes]:
    """Return the number of verdicts, and `verdict_table` as CSV bytes in which no cell is a formula."""
    with open_verdicts(output.local_parts(FOLDER, work), work) as database:
        database.execute(query("macros"))
        database.sql(query("verdicts/list")).create_view("verdict_list")
        table = database.sql(query("verdicts/csv")).df()
    return len(table), codecs.BOM_UTF8 + table.to_csv(index=False).encode()


def latest_verdicts(paths: Sequence[str], work: Path) -> list[dict[str, Any]]:
    """Return the last verdict on each photo, as rows of sql/verdicts/latest.sql.

    Args:
        paths: the Parquet parts of verdicts.
        work: a folder for DuckDB.

    Raises:
        ReconcileError: a part cannot be read.
    """
    if not paths:
        return []
    with open_verdicts(paths, work) as database:
        rows: list[dict[str, Any]] = database.table("latest_verdicts").to_arrow_table().to_pylist()
    return rows


@contextmanager
def open_verdicts(paths: Sequence[str], work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the table `verdicts` and the view `latest_verdicts`.

    Args:
        paths: the Parquet parts of verdicts.
        work: a folder for DuckDB.

    Raises:
        ReconcileError: a part cannot be read.
    """
    empty = work / "no-verdicts.parquet"
    pq.write_table(VERDICTS_SCHEMA.empty_table(), empty)
    with open_database(work) as database:
        try:
            files = [literal_path(path) for path in (str(empty), *paths)]
            # Older parts lack columns.
            database.read_parquet(files, union_by_name=True).create("verdicts")
        except duckdb.Error as error:
            raise ReconcileError(f"cannot read the verdicts: {first_line(error)}") from None
        database.execute("CREATE VIEW latest_verdicts AS " + query("verdicts/latest"))
        yield database
