"""Join, score and rank the bins of a run with the queries of sql/join/."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from reconcile.database import literal, literal_path
from reconcile.discrepancy.scoring import SCORED_FROM, SCORED_SCHEMA, SUSPECT_FROM, as_matrix
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from reconcile.discrepancy.scoring import DiscrepancyScorer
    from reconcile.labels import CountLabels
    from reconcile.reconciliation.partitions import Partitions
    from reconcile.reconciliation.record_sources import RecordSource


_ROWS_AT_ONCE = 50_000
_MAX_PRIOR_SAMPLE = 100_000
"""The largest number of bins from which the distribution of counts is estimated."""


class BinJoin:
    """The join of one run, one part of its tables after another. Parquet files hold the rows between two steps."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        folder: Path,
        labels: CountLabels,
        source: RecordSource,
        *,
        has_costs: bool,
    ) -> None:
        """Store the arguments. `join_parts` starts the work.

        Args:
            database: the database that holds the tables of the run.
            folder: a folder for the Parquet files between the steps.
            labels: the labels of the model whose counts are joined.
            source: the source of the records.
            has_costs: whether the table `unit_costs` has rows.
        """
        self._database, self._folder = database, folder
        self._source, self._has_costs = source, has_costs
        self._class_count = len(labels.names)
        self._label_parameters = {"open_ended": labels.open_ended, "last_count": labels.values[-1]}

    def join_parts(self, parts: Partitions, stale_after: float | None) -> None:
        """Join images with records and make the view `joined` of the result.

        Args:
            parts: the parts of the tables.
            stale_after: Minutes. A record that changed more than this after its photo is stale. None compares all.
        """
        seconds = None if stale_after is None else 60 * stale_after
        for number in range(parts.count):
            parts.show(number)
            self._find_duplicates()
            # One side at a time, because each needs memory.
            for side in ("images", "records"):
                self._write(side, query(f"join/{side}"))
                self._view(side, f"{side}.parquet")
            self._write(f"joined-{number}", query("join/joined"), self._label_parameters | {"stale_after": seconds})
        self._view("joined", "joined-*.parquet")

    def detect_label_shift(self, scorer: DiscrepancyScorer) -> NDArray[np.float64] | None:
        """Return the distribution of counts in this run if it is far from the training distribution, else None.

        Args:
            scorer: holds the training distribution.

        Returns:
            float64 [labels], summing to 1.
        """
        sample = self._database.sql(query("join/prior_sample"), params={"most": _MAX_PRIOR_SAMPLE}).to_arrow_table()
        if not sample.num_rows:
            return None
        probabilities = as_matrix(sample["probabilities"].combine_chunks(), self._class_count)
        return scorer.detect_label_shift(probabilities, sample["expected_count"].to_numpy())

    def score_parts(
        self, parts: Partitions, scorer: DiscrepancyScorer, class_prior: NDArray[np.float64] | None
    ) -> None:
        """Score the joined bins and make the view `scored` of the result.

        Args:
            parts: the parts of the tables.
            scorer: computes the scores.
            class_prior: the distribution for which the probabilities are corrected; None to use them as they are.
        """
        for number in range(parts.count):
            parts.show(number)
            self._score(number, scorer, class_prior)
            if parts.count > 1:
                with self._fixed_join_sides():
                    self._write(f"scored-{number}", query("join/scored"))
                for name in ("joined", "scores"):
                    (self._folder / f"{name}-{number}.parquet").unlink()
        if parts.count > 1:
            self._view("scored", "scored-*.parquet")
        else:
            self._database.execute("CREATE OR REPLACE TEMP VIEW scored AS " + query("join/scored"))

    def write_ranked(self, destination: Path, rank_by: str) -> None:
        """Rank the scored bins and write them.

        Args:
            destination: the file to write, reconciled.parquet.
            rank_by: probability, units or value.
        """
        parameters = self._label_parameters | {"rank_by": rank_by, "suspect_from": SUSPECT_FROM}
        with self._fixed_join_sides():
            ranked = self._database.sql(query("join/ranked"), params=parameters)
            ranked.write_parquet(str(destination), compression="zstd")

    def _find_duplicates(self) -> None:
        """Create a table for each query of duplicates. Views would hide from DuckDB how few rows they have."""
        for name in ("duplicate_counts", "bins_with_several_images", *self._source.duplicate_queries):
            if name == "bins_with_several_records":  # this view may read the table of the previous query
                self._database.execute("CREATE OR REPLACE TEMP VIEW all_records AS " + self._source.records_sql)
            self._database.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS " + query(f"join/{name}"))

    def _score(self, number: int, scorer: DiscrepancyScorer, class_prior: NDArray[np.float64] | None) -> None:
        """Score one part of the joined bins, and make the views that sql/join/scored.sql reads from this part."""
        with (
            pq.ParquetFile(self._folder / f"joined-{number}.parquet") as joined,
            pq.ParquetWriter(
                self._folder / f"scores-{number}.parquet", SCORED_SCHEMA, compression="none", use_dictionary=False
            ) as writer,
        ):
            for batch in joined.iter_batches(_ROWS_AT_ONCE, columns=SCORED_FROM):
                writer.write_batch(scorer.score(batch, class_prior))
        for name in ("joined", "scores"):
            self._view(f"{name}_part", f"{name}-{number}.parquet", row_numbers=True)
        self._database.execute("CREATE OR REPLACE TEMP VIEW items AS " + self._source.items_sql)
        # Without costs, an empty table saves reading all items.
        costs = query("join/bin_costs") if self._has_costs else "SELECT 0 AS items_at, 0.0::DOUBLE AS unit_cost LIMIT 0"
        self._database.execute("CREATE OR REPLACE TEMP TABLE bin_costs AS " + costs)

    def _write(self, name: str, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Write the result of a query to a Parquet file in the folder."""
        # Rows are written in any order, because rows that wait for their turn need memory.
        self._database.execute("SET preserve_insertion_order = false")
        self._database.sql(sql, params=parameters).write_parquet(str(self._folder / f"{name}.parquet"))
        self._database.execute("SET preserve_insertion_order = true")

    def _view(self, name: str, files: str, *, row_numbers: bool = False) -> None:
        """Make a view of Parquet files in the folder, with the column file_row_number if `row_numbers` is set."""
        paths = literal(f"{literal_path(self._folder)}/{files}")
        options = f"file_row_number = {str(row_numbers).lower()}"
        self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM read_parquet({paths}, {options})")

    @contextmanager
    def _fixed_join_sides(self) -> Iterator[None]:
        """Keep the right side of each join in memory. DuckDB would choose the items: fewer rows, but more bytes."""
        self._database.execute("SET disabled_optimizers = 'build_side_probe_side'")
        try:
            yield
        finally:
            self._database.execute("RESET disabled_optimizers")
