"""Read the verdicts kept in <out>."""

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
    """All verdicts, the newest first; of several on the same photo of a bin only the last."""
    with _database(output.local_parts(FOLDER, work), work) as database:
        table: pd.DataFrame = database.sql(query("verdicts/list")).df()
    return table


def verdict_csv(output: Output, work: Path) -> tuple[int, bytes]:
    """How many verdicts there are, and all of `verdict_table` as CSV in which no cell is a formula."""
    with _database(output.local_parts(FOLDER, work), work) as database:
        database.execute(query("macros"))
        database.sql(query("verdicts/list")).create_view("verdict_list")
        table = database.sql(query("verdicts/csv")).df()
    return len(table), codecs.BOM_UTF8 + table.to_csv(index=False).encode()


def latest_verdicts(paths: Sequence[str], work: Path) -> list[dict[str, Any]]:
    """The last verdict on each photo, as rows of sql/verdicts/latest.sql.

    Args:
        paths: the Parquet parts of verdicts.
        work: a folder for DuckDB.

    Raises:
        ReconcileError: one of them cannot be read.
    """
    if not paths:
        return []
    with _database(paths, work) as database:
        found: list[dict[str, Any]] = database.table("latest_verdicts").to_arrow_table().to_pylist()
    return found


@contextmanager
def _database(paths: Sequence[str], work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the table `verdicts`."""
    empty = work / "no-verdicts.parquet"
    pq.write_table(VERDICTS_SCHEMA.empty_table(), empty)
    with open_database(work) as database:
        try:
            database.read_parquet([literal_path(path) for path in (str(empty), *paths)]).create("verdicts")
        except duckdb.Error as error:
            detail = first_line(error)
            raise ReconcileError(f"cannot read the verdicts: {detail}") from None
        database.execute("CREATE VIEW latest_verdicts AS " + query("verdicts/latest"))
        yield database
