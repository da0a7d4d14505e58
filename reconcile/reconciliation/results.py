"""Queries over `reconciled.parquet`."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import pandas as pd

from reconcile.database import literal, literal_path, open_database, set_memory_limit
from reconcile.errors import ReconcileError, first_line
from reconcile.metrics.calibration import CALIBRATION_BINS
from reconcile.metrics.intervals import Z_95
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.labels import CountLabels


_ROWS_AT_ONCE = 100_000


class Results:
    """The rows of reconciled.parquet of one run, read by the queries of sql/figures/.

    The queries read no other table of the run. So a report can be rendered again as long as this file exists.
    """

    def __init__(self, reconciled: Path, labels: CountLabels, scratch: Path) -> None:
        """Open the file.

        Args:
            reconciled: reconciled.parquet on this machine.
            labels: the labels of the model that counted.
            scratch: a folder for data that does not fit into memory.

        Raises:
            ReconcileError: the file cannot be read.
        """
        self._parameters = {
            "open_ended": labels.open_ended,
            "last_count": labels.values[-1],
            "z": Z_95,
            "calibration_bins": CALIBRATION_BINS,
        }
        self._database = open_database(scratch)
        try:
            rows = self._database.read_parquet(literal_path(reconciled))
            rows.create_view("reconciled")
            set_memory_limit(self._database, len(rows))
        except duckdb.Error as error:
            raise ReconcileError(f"{reconciled} cannot be read: {first_line(error)}") from None

    def table(self, name: str, **parameters: Any) -> pd.DataFrame:
        """Return the result of a query over the reconciled rows.

        Args:
            name: the query, `figures/confusion` for sql/figures/confusion.sql.
            parameters: the parameters of the query, apart from those that follow from the labels.
        """
        table: pd.DataFrame = self._relation(name, parameters).df()
        return table

    def batches(self, name: str, **parameters: Any) -> Iterator[pd.DataFrame]:
        """Yield the result of a query in batches. Use it for results that have a row for each bin.

        Args:
            name: the query, as for `table`.
            parameters: the parameters of the query, as for `table`.
        """
        for batch in self._relation(name, parameters).to_arrow_reader(_ROWS_AT_ONCE):
            yield batch.to_pandas()

    def has_match(self, pattern: str) -> bool:
        """Return whether a regular expression matches the id or the photo's key of any bin.

        Args:
            pattern: the pattern of `--where`.
        """
        text = "FROM reconciled WHERE regexp_matches(bin_id, $1) OR regexp_matches(image_key, $1) LIMIT 1"
        return bool(self._database.execute(text, [pattern]).fetchall())

    def count_without_value(self) -> int:
        """Count queued bins without a known unit cost."""
        return self._count("recount_rank IS NOT NULL AND value_off IS NULL")

    def count_without_times(self) -> int:
        """Count compared bins without the time of the photo or of the record's last change."""
        return self._count(
            "status IN ('match', 'short', 'over') AND (photographed_at IS NULL OR record_changed_at IS NULL)"
        )

    def _count(self, condition: str) -> int:
        ((number,),) = self._database.execute(f"SELECT count(*) FROM reconciled WHERE {condition}").fetchall()
        return int(number)

    def write_recount_list(self, destination: Path, run_id: str, capacity: int, where: str | None = None) -> None:
        """Write the first bins of the recount queue as CSV, with empty columns for the counts and notes of people.

        Args:
            destination: the file to write, recount.csv.
            run_id: the run, which is written into each row.
            capacity: the number of bins.
            where: the pattern of `--where`, whose groups become columns.
        """
        self._view_locations(where, capacity, guarded=True)
        rows = self._relation("figures/recount_csv", {"run_id": run_id, "capacity": capacity})
        rows.write_csv(str(destination), header=True)
        # Excel needs a byte order mark to read the file as UTF-8.
        destination.write_bytes(codecs.BOM_UTF8 + destination.read_bytes())

    def write_count_tasks(self, destination: Path, run_id: str, capacity: int, where: str | None = None) -> None:
        """Write the first bins of the recount queue as JSON Lines: a count task for each bin.

        Args:
            destination: the file to write, recount.jsonl.
            run_id: the run, which is written into each task.
            capacity: the number of bins.
            where: the pattern of `--where`, whose groups become the names of `location`.
        """
        self._view_locations(where, capacity)
        rows = self._relation("figures/count_tasks", {"run_id": run_id, "capacity": capacity})
        with destination.open("w", encoding="utf-8") as file:
            for batch in rows.to_arrow_reader(_ROWS_AT_ONCE):
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())

    def _view_locations(self, where: str | None, capacity: int, *, guarded: bool = False) -> None:
        """Make the view `locations`: the walking order of each bin on the list, and the parts of its location.

        Each named group of the pattern becomes a column `location_NAME` and a field of `location`.

        Args:
            where: the pattern of `--where`.
            capacity: the number of bins.
            guarded: keep spreadsheets from reading the columns as formulas.
        """
        groups = re.compile(where).groupindex if where else {}
        parts = {
            name: f"location_part(bin_id, image_key, {literal(str(where))}, {number})"
            for name, number in groups.items()
        }
        fields = ", ".join(f"{literal(name)}: {part}" for name, part in parts.items())
        shown = [f"plain_text({part})" if guarded else part for part in parts.values()]
        columns = "".join(f', {part} AS "location_{name}"' for name, part in zip(parts, shown, strict=True))
        order = ", ".join([*(f"natural_order({part})" for part in parts.values()), "natural_order(bin_id)", "bin_id"])
        self._database.execute(
            "CREATE OR REPLACE TEMP VIEW locations AS SELECT recount_rank, "
            f"row_number() OVER (ORDER BY {order}) AS walking_order, "
            f"{f'{{{fields}}}' if parts else 'NULL'} AS location{columns} "
            f"FROM reconciled WHERE recount_rank <= {capacity:d}"
        )

    def _relation(self, name: str, parameters: dict[str, Any]) -> duckdb.DuckDBPyRelation:
        text = query(name)
        used = set(re.findall(r"\$(\w+)", text))
        known = self._parameters | parameters
        return self._database.sql(text, params={name: known[name] for name in known if name in used})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as plain Python values, with None for a missing value.

    Args:
        table: the result of `Results.table`.
    """
    rows: list[dict[str, Any]] = table.astype(object).to_dict("records")  # type: ignore[assignment]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                row[name] = value.tolist()
            elif not isinstance(value, list | dict) and pd.isna(value):
                row[name] = None
    return rows
