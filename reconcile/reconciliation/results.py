"""The reconciled rows of one run, and every figure that is drawn from them."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import pandas as pd

from reconcile.database import allow_for, literal_path, open_database
from reconcile.errors import ReconcileError, first_line
from reconcile.labels import CountLabels
from reconcile.metrics.calibration import CALIBRATION_BINS
from reconcile.metrics.intervals import Z_95
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.labels import CountLabels


_ROWS_AT_ONCE = 100_000


class Results:
    """reconciled.parquet of one run, asked by the queries of `sql/`.

    It needs no other table of the night, so that a report can be rendered again as long as this file is there.
    """

    def __init__(self, reconciled: Path, labels: CountLabels, work: Path) -> None:
        """Open the file.

        Args:
            reconciled: on this machine.
            labels: of the model that counted.
            work: a folder for what does not fit into memory.

        Raises:
            ReconcileError: it cannot be read.
        """
        self._labels = labels
        self._database = open_database(work)
        try:
            rows = self._database.read_parquet(literal_path(reconciled))
            rows.create_view("reconciled")
            allow_for(self._database, len(rows))
        except duckdb.Error as error:
            raise ReconcileError(f"{reconciled} cannot be read: {first_line(error)}") from None

    def table(self, name: str, **parameters: Any) -> pd.DataFrame:
        """The result of `sql/<name>.sql` over the reconciled rows.

        Args:
            name: the query.
            parameters: what it needs beyond the labels.
        """
        found: pd.DataFrame = self._relation(name, parameters).df()
        return found

    def batches(self, name: str, **parameters: Any) -> Iterator[pd.DataFrame]:
        """The same rows as of `table`, some at a time: for results as long as the night."""
        for batch in self._relation(name, parameters).to_arrow_reader(_ROWS_AT_ONCE):
            yield batch.to_pandas()

    def finds(self, pattern: str) -> bool:
        """Whether a pattern of `--where` is found in the id or in the photo's key of any bin."""
        text = "FROM reconciled WHERE regexp_matches(bin_id, $1) OR regexp_matches(image_key, $1) LIMIT 1"
        return bool(self._database.execute(text, [pattern]).fetchall())

    def without_value(self) -> int:
        """Bins in the queue of which it is not known how much value their record may be off: no cost is known."""
        text = "SELECT count(*) FROM reconciled WHERE recount_rank IS NOT NULL AND value_off IS NULL"
        ((number,),) = self._database.execute(text).fetchall()
        return int(number)

    def without_times(self) -> int:
        """Compared bins of which it is not known when the photo was taken, or when the record changed."""
        text = (
            "SELECT count(*) FROM reconciled WHERE status IN ('match', 'short', 'over') "
            "AND (photographed_at IS NULL OR record_changed_at IS NULL)"
        )
        ((number,),) = self._database.execute(text).fetchall()
        return int(number)

    def write_recount_list(self, destination: Path, run_id: str, capacity: int) -> None:
        """Write the first `capacity` bins of the recount queue as CSV, with columns to fill in what was found."""
        chosen = self._relation("figures/recount_csv", {"run_id": run_id, "capacity": capacity})
        chosen.write_csv(str(destination), header=True)
        # With a byte order mark, Excel takes it for the UTF-8 that it is.
        destination.write_bytes(codecs.BOM_UTF8 + destination.read_bytes())

    def _relation(self, name: str, parameters: dict[str, Any]) -> duckdb.DuckDBPyRelation:
        text = query(name)
        known = {
            "open_ended": self._labels.open_ended,
            "last_count": self._labels.values[-1],
            "z": Z_95,
            "calibration_bins": CALIBRATION_BINS,
        } | parameters
        used = set(re.findall(r"\$(\w+)", text))
        return self._database.sql(text, params={name: value for name, value in known.items() if name in used})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values, None where a value is missing."""
    rows: list[dict[str, Any]] = table.astype(object).to_dict("records")  # type: ignore[assignment]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                row[name] = value.tolist()
            elif not isinstance(value, list | dict) and pd.isna(value):
                row[name] = None
    return rows
