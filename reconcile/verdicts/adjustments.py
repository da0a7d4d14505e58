"""Export wrong records as stock adjustments that an ERP imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb

from reconcile.database import literal_path
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.resources import query
from reconcile.verdicts.queries import FOLDER, open_verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.store import Output


class Adjustments(NamedTuple):
    """Stock adjustments as CSV."""

    number: int
    content: bytes
    """UTF-8 without a byte order mark, because programs read it. No cell is a formula."""
    runs_without_files: list[str]
    """Runs that no longer have a readable reconciled.parquet. The products of their bins are unknown."""


def stock_adjustments(output: Output, work: Path, run_id: str | None = None) -> Adjustments:
    """Return an adjustment for each record that the last verdict on its bin found wrong.

    Args:
        output: `<out>`.
        work: a folder for copies of files on S3.
        run_id: export only verdicts on bins of this run; None for all runs.

    Raises:
        ReconcileError: the verdicts cannot be read.
    """
    with open_verdicts(output.local_parts(FOLDER, work), work) as database:
        database.execute("CREATE TABLE products (run_id TEXT, bin_id TEXT, product_id TEXT)")
        text, parameters = query("verdicts/adjustments"), {"run_id": run_id}
        runs = database.execute(f"SELECT DISTINCT run_id FROM ({text}) ORDER BY run_id", parameters).fetchall()
        missing = [run for (run,) in runs if not _add_products(database, output, run, work)]
        table = database.execute(text, parameters).df()
    return Adjustments(len(table), table.to_csv(index=False, lineterminator="\n").encode(), missing)


def _add_products(database: duckdb.DuckDBPyConnection, output: Output, run_id: str, work: Path) -> bool:
    """Add the products of the bins of a run to the table `products`. Return whether the run still has its file."""
    is_valid_id = RUN_ID_FORM.fullmatch(run_id) is not None
    reconciled = output.local_run_file(run_id, "reconciled.parquet", work) if is_valid_id else None
    if reconciled is None:
        return False
    try:
        database.execute(query("verdicts/products"), {"run_id": run_id, "path": literal_path(reconciled)})
    except duckdb.Error:  # the file is damaged, or another version wrote it
        return False
    return True
