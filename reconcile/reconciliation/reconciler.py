"""Join counts and records in DuckDB, then score and rank every bin."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import duckdb
import pyarrow.parquet as pq

from reconcile.database import literal_path, open_database, set_memory_limit
from reconcile.errors import ReconcileError, first_line
from reconcile.inputs.backlog import Backlog
from reconcile.inputs.unit_costs import COSTS_SCHEMA
from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.reconciliation.join import BinJoin
from reconcile.reconciliation.listed_objects import ListedObjects, only_of_bins
from reconcile.reconciliation.partitions import Partitions
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from reconcile.discrepancy.scoring import DiscrepancyScorer
    from reconcile.inputs.pages import Page
    from reconcile.labels import CountLabels
    from reconcile.reconciliation.record_sources import RecordSource
    from reconcile.storage.base import StoredObject


BINS_AT_ONCE = 1_000_000
"""The number of bins that are joined in memory."""
_ROWS_AT_ONCE = 50_000
_ITEMS_AT = "(file_index::BIGINT << 32) | file_row_number"
"""The number of a row in the record parts. Items need more memory than all other columns, so they stay in their files
until the rows are written. This number finds them there."""


@dataclass(frozen=True)
class StoredParts:
    """The Parquet parts in `<out>` that a run reads."""

    counts: Sequence[str] = ()
    """Paths of the counts of the run's model."""
    records: Sequence[str] = ()
    """Paths of the JSON records that were read."""
    verdicts: Sequence[str] = ()
    """Paths of the imported verdicts."""


class Reconciler:
    """The tables of one run: what was listed, counted and recorded, and their join.

    The tables are temporary. The Parquet files in `<out>` hold everything that a run keeps.
    """

    def __init__(
        self,
        scratch: Path,
        labels: CountLabels,
        source: RecordSource,
        parts: StoredParts,
        costs: pa.Table | None = None,
        bins_at_once: int = BINS_AT_ONCE,
    ) -> None:
        """Open the tables.

        Args:
            scratch: a folder for this run alone, which can be deleted afterwards.
            labels: the labels of the model whose counts are used.
            source: the source of the records.
            parts: the Parquet parts of earlier runs in `<out>`.
            costs: the unit cost of each product, `COSTS_SCHEMA`; None if no costs are known.
            bins_at_once: the number of bins that are joined in memory. Larger tables are split.

        Raises:
            UsageError: the table of records lacks a column, or the type of its file is unknown.
            ReconcileError: the parts or the table of records cannot be read.
        """
        self._bins_at_once = bins_at_once
        self._folder = scratch / "join"  # a separate folder, because a downloaded file may have the name of a table
        self._folder.mkdir(exist_ok=True)
        self._labels, self._source = labels, source
        self._backlogs: list[Backlog] = []
        self._database = open_database(scratch)
        self._images = ListedObjects(self._database, "listed_images", "counted", "inputs/new_images")
        self._records = ListedObjects(self._database, "listed_records", "read_records", "inputs/new_records")
        self.update_parts(parts.counts, parts.records)
        with _readable("verdicts", "restore that file from a backup, because it holds what people found"):
            self._view_parts("verdicts", parts.verdicts, VERDICTS_SCHEMA)
            self._database.execute("CREATE TABLE latest_verdicts AS " + query("verdicts/latest"))
        costs = COSTS_SCHEMA.empty_table() if costs is None else costs
        self._has_costs = len(costs) > 0
        self._database.register("unit_costs", costs)
        source.load(self._database, self._folder)

    def update_parts(self, counts: Sequence[str], records: Sequence[str]) -> None:
        """Read the parts that `<out>` has now, including those written since the last call.

        Args:
            counts: paths of all parts with counts of the run's model.
            records: paths of all parts with JSON records.

        Raises:
            ReconcileError: a part cannot be read.
        """
        self._view_parts("record_parts", records, RECORDS_SCHEMA, f"*, {_ITEMS_AT} AS items_at")
        with _readable("counts", "delete that file and run again"):
            self._view_parts("counts", counts, COUNTS_SCHEMA)
            self._images.mark_known("image_key", counts)
        with _readable("record parts", "delete that file and run again"):
            self._records.mark_known("record_key", records)

    def _view_parts(self, name: str, paths: Sequence[str], schema: pa.Schema, columns: str = "*") -> None:
        """Make a view of Parquet parts, without reading them."""
        # DuckDB reads no empty list of files, so an empty table always comes first.
        empty = self._folder / f"{name}.empty.parquet"
        pq.write_table(schema.empty_table(), empty)
        files = [literal_path(path) for path in (str(empty), *paths)]
        # Older parts of counts and verdicts lack columns. Parts of records all have the same columns, so DuckDB does
        # not open every file to read its columns.
        parts = self._database.read_parquet(files, union_by_name=schema is not RECORDS_SCHEMA)
        parts.project(columns).create_view(name, replace=True)

    def backlog(self, name: str) -> Backlog:
        """Return a new backlog that keeps its objects in this database. `close` stops it.

        Args:
            name: the name of its table.
        """
        self._backlogs.append(Backlog(self._database, name))
        return self._backlogs[-1]

    def new_images(self, pages: Iterable[Page], limit: int | None) -> Iterator[list[StoredObject]]:
        """Add the listed images to their table, and yield those that are not counted yet.

        Args:
            pages: pages of a bucket listing or of a key list.
            limit: the largest number of images to add, new or not. None adds all.
        """
        return self._images.find_new(pages, limit)

    def new_records(self, pages: Iterable[Page], *, only_of_images: bool) -> Iterator[list[StoredObject]]:
        """Add the listed records to their table, and yield those that are not read yet.

        Args:
            pages: pages of a bucket listing or of a key list.
            only_of_images: leave out records of bins that have no image in this run.
        """
        if only_of_images:
            rows = self._database.cursor().execute("SELECT bin_id FROM listed_images").fetchall()
            pages = only_of_bins(pages, {bin_id for (bin_id,) in rows})
        return self._records.find_new(pages)

    @property
    def image_count(self) -> int:
        """The number of listed images."""
        return len(self._images)

    @property
    def record_count(self) -> int:
        """The number of records, duplicates included."""
        return len(self._database.sql(self._source.records_sql))

    def invalid_records(self) -> Iterator[tuple[str, str]]:
        """Yield the key of each invalid record and the reason. Records that contradict each other are not included."""
        text = f"SELECT record_key, reason FROM ({self._source.records_sql}) WHERE reason IS NOT NULL"
        result = self._database.execute(text)
        while rows := result.fetchmany(_ROWS_AT_ONCE):
            yield from rows

    def reconcile(
        self, destination: Path, scorer: DiscrepancyScorer, rank_by: str, stale_after: float | None = None
    ) -> NDArray[np.float64] | None:
        """Join, score and rank all bins, and write them as reconciled.parquet.

        Args:
            destination: the file to write.
            scorer: computes how likely each record is wrong.
            rank_by: probability, units or value.
            stale_after: Minutes. A record that changed more than this after its photo is not compared with it. None
                compares all.

        Returns:
            the distribution of counts in this run, float64 [labels], if it is far from the training distribution. The
            probabilities were corrected for it before scoring. Else None.
        """
        bins = max(self.image_count, len(self._database.table(self._source.tables[0])))
        set_memory_limit(self._database, min(bins, self._bins_at_once))
        count = -(-bins // self._bins_at_once) or 1
        parts = Partitions(self._database, self._folder, self._source.tables, count)
        parts.cut()
        join = BinJoin(self._database, self._folder, self._labels, self._source, has_costs=self._has_costs)
        join.join_parts(parts, stale_after)
        class_prior = join.detect_label_shift(scorer)
        join.score_parts(parts, scorer, class_prior)
        set_memory_limit(self._database, bins)
        join.write_ranked(destination, rank_by)
        return class_prior

    def close(self) -> None:
        """Stop the backlogs and close the database."""
        for backlog in self._backlogs:
            backlog.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _readable(what: str, advice: str) -> Iterator[None]:
    """Raise ReconcileError with advice if DuckDB cannot read the parts."""
    try:
        yield
    except duckdb.Error as error:
        raise ReconcileError(f"cannot read the {what} in <out>: {first_line(error)}; {advice}") from None
