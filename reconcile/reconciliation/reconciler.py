"""Joins counts and records in DuckDB: every query lies in sql/, this module feeds them and hands out what they give."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.database import allow_for, literal, literal_path, open_database
from reconcile.discrepancy.scoring import SCORED_FROM, SCORED_SCHEMA, as_matrix
from reconcile.errors import ReconcileError, first_line
from reconcile.inputs.backlog import Backlog
from reconcile.inputs.records_table import load_table
from reconcile.inputs.unit_costs import COSTS_SCHEMA
from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.reconciliation.listed_objects import ListedObjects, of_bins
from reconcile.reconciliation.partitions import Partitions
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from reconcile.discrepancy.scoring import DiscrepancyScorer
    from reconcile.inputs.pages import Page
    from reconcile.labels import CountLabels
    from reconcile.storage.base import StoredObject


BINS_AT_ONCE = 1_000_000
"""What is joined in memory. It takes a gigabyte."""
_ROWS_AT_ONCE = 50_000
_ENOUGH_FOR_A_MIX = 100_000
"""Bins; tonight's mix of counts is estimated from no more."""
_ITEMS_AT = "(file_index::BIGINT << 32) | file_row_number"
"""A row of the record parts. Items are heavier than all the rest: until the rows are put together they stay where they
are, and one number says where."""
_ITEMS = "SELECT items_at, items FROM record_parts"


class Reconciler:
    """The tables of one run: what was listed, what is counted, what is on record, and what comes of it.

    DuckDB works in `work`, which may be thrown away: truth lives in the Parquet files of <out>.
    """

    def __init__(
        self,
        work: Path,
        labels: CountLabels,
        counts: Sequence[str],
        records: Sequence[str],
        bins_at_once: int = BINS_AT_ONCE,
    ) -> None:
        """Open the tables.

        Args:
            work: a folder for this run alone.
            labels: of the model whose counts are used.
            counts: paths of that model's Parquet parts.
            records: paths of the Parquet parts of JSON records.
            bins_at_once: how many are joined in memory; of more, the tables are cut into parts.
        """
        self._bins_at_once = bins_at_once
        self._work = work / "night"  # where no file that is brought has its place
        self._work.mkdir(exist_ok=True)
        self._labels = labels
        self._database = open_database(work)
        self._records_tables: tuple[str, ...] = ()
        self._records_twice: tuple[str, ...] = ()
        self._images = ListedObjects(self._database, "listed_images", "counted", "inputs/new_images")
        self._records = ListedObjects(self._database, "listed_records", "read_records", "inputs/new_records")
        self.use_parts(counts, records)
        self.use_verdicts([])
        self.use_costs(COSTS_SCHEMA.empty_table())

    def use_parts(self, counts: Sequence[str], records: Sequence[str]) -> None:
        """Take up the parts of <out> as they are now.

        Raises:
            ReconcileError: one of them cannot be read.
        """
        self._use("counts", counts, COUNTS_SCHEMA)
        self._use("record_parts", records, RECORDS_SCHEMA, f"*, {_ITEMS_AT} AS items_at")
        with _named("counts", "delete that file and run again"):
            self._images.mark_known("image_key", counts)
        with _named("record parts", "delete that file and run again"):
            self._records.mark_known("record_key", records)

    def use_verdicts(self, paths: Sequence[str]) -> None:
        """Take up what people found who recounted: paths of the Parquet parts of verdicts.

        Raises:
            ReconcileError: one of them cannot be read.
        """
        self._use("verdicts", paths, VERDICTS_SCHEMA)
        with _named("verdicts", "they hold what people found: bring them back"):
            self._database.execute("CREATE OR REPLACE TABLE latest_verdicts AS " + query("verdicts/latest"))

    def use_costs(self, costs: pa.Table) -> None:
        """Take up what one item of each product costs; see `costs.read_costs`."""
        self._has_costs = len(costs) > 0
        self._database.register("unit_costs", costs)

    def _use(self, name: str, paths: Sequence[str], schema: pa.Schema, columns: str = "*") -> None:
        """Make a view of Parquet parts; they stay where they are."""
        # An empty table of the same columns stands in while there is no part to read.
        empty = self._work / f"{name}.empty.parquet"
        pq.write_table(schema.empty_table(), empty)
        found = [literal_path(path) for path in (str(empty), *paths)]
        self._database.read_parquet(found).project(columns).create_view(name, replace=True)

    def backlog(self, name: str) -> Backlog:
        """A backlog that keeps what it holds in this database."""
        return Backlog(self._database, name)

    def new_images(self, pages: Iterable[Page], limit: int | None) -> Iterator[list[StoredObject]]:
        """Note the images that are listed, up to `limit`, and give back those that are not counted yet.

        Args:
            pages: of a listing, or of what stands for one.
            limit: of images, whether new or not.
        """
        return self._images.find_new(pages, limit)

    def new_records(self, pages: Iterable[Page], *, only_of_images: bool) -> Iterator[list[StoredObject]]:
        """Note the records that are listed and give back those that are not read yet.

        Args:
            pages: of a listing, or of what stands for one.
            only_of_images: leave out records of bins that have no image in this run.
        """
        if only_of_images:
            found = self._database.cursor().execute("SELECT bin_id FROM listed_images").fetchall()
            pages = of_bins(pages, {name for (name,) in found})
        return self._records.find_new(pages)

    @property
    def image_count(self) -> int:
        """How many images were listed."""
        return len(self._images)

    def use_json_records(self) -> None:
        """The records are the JSON objects that were listed."""
        self._records_tables, self._records_text = ("listed_records", "record_parts"), query("inputs/records_from_json")
        self._records_twice, self._items_text = ("duplicate_records", "bins_with_several_records"), _ITEMS

    def use_table_records(self, path: Path, source: str, columns: Mapping[str, str], *, only_of_images: bool) -> None:
        """The records are the rows of a table.

        Args:
            path: CSV, Parquet or JSON Lines on this machine.
            source: what the user calls it.
            columns: our column names to the table's; see `records_table.load_table`.
            only_of_images: leave out records of bins that have no image in this run.
        """
        load_table(self._database, path, source, columns, self._work)
        wanted = "SELECT t.* FROM t SEMI JOIN listed_images USING (bin_id)" if only_of_images else "FROM t"
        self._records_tables = ("source_rows",)
        self._records_twice, self._items_text = ("bins_with_several_records",), f"{_ITEMS} LIMIT 0"
        self._records_text = f"WITH t AS ({query('inputs/records_from_table')}) {wanted}"

    @property
    def table_rows(self) -> int:
        """How many rows of the table of records are taken."""
        return len(self._database.sql(self._records_text))

    def invalid_rows(self) -> Iterator[tuple[str, str]]:
        """Those of them that are no record: which, as a person finds it, and why."""
        found = self._database.execute(
            f"SELECT record_key, reason FROM ({self._records_text}) WHERE reason IS NOT NULL"
        )
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            yield from rows

    def reconcile(
        self, destination: Path, judge: DiscrepancyScorer, rank_by: str, stale_after: float | None = None
    ) -> NDArray[np.float64] | None:
        """Join, judge and rank; write reconciled.parquet to `destination`.

        Args:
            destination: the file.
            judge: says what photo and record mean together.
            rank_by: probability, units or value.
            stale_after: minutes; a record that changed later than so many after the photo is not held against it. None
                compares all.

        Returns:
            tonight's mix of counts, float64 [labels], where it is far from training's and the probabilities were
            corrected for it before judging; else None.
        """
        bins = max(self.image_count, len(self._database.table(self._records_tables[0])))
        allow_for(self._database, min(bins, self._bins_at_once))
        parts = Partitions(self._database, self._work, self._records_tables, -(-bins // self._bins_at_once) or 1)
        parts.cut()
        for number in range(parts.count):
            parts.show(number)
            self._join(number, stale_after)
        self._show("joined", "joined-*.parquet")
        mix = self._mix(judge)
        for number in range(parts.count):
            parts.show(number)
            self._judge(number, judge, mix)
            if parts.count > 1:
                with self._sides_as_written():
                    self._keep(f"scored-{number}", query("join/scored"))
                for name in ("joined", "scores"):
                    (self._work / f"{name}-{number}.parquet").unlink()
        if parts.count > 1:
            self._show("scored", "scored-*.parquet")
        else:
            self._database.execute("CREATE OR REPLACE TEMP VIEW scored AS " + query("join/scored"))
        allow_for(self._database, bins)
        ranking = self._label_parameters() | {"rank_by": rank_by}
        with self._sides_as_written():
            self._database.sql(query("join/ranked"), params=ranking).write_parquet(str(destination), compression="zstd")
        return mix

    def _join(self, number: int, stale_after: float | None) -> None:
        """Join one part of the night's tables. One join at a time: each wants memory for one of its sides."""
        self._put_aside("duplicate_counts", "bins_with_several_images", *self._records_twice)
        for name in ("images", "records"):
            self._keep(name, query(f"join/{name}"))
            self._show(name, f"{name}.parquet")
        seconds = None if stale_after is None else 60 * stale_after
        self._keep(f"joined-{number}", query("join/joined"), self._label_parameters() | {"stale_after": seconds})

    def _put_aside(self, *names: str) -> None:
        """Find what is there several times. Tables, since that there are few rows is worth knowing to what follows."""
        for name in names:
            if name == "bins_with_several_records":
                self._database.execute("CREATE OR REPLACE TEMP VIEW all_records AS " + self._records_text)
            self._database.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS " + query(f"join/{name}"))

    def _judge(self, number: int, judge: DiscrepancyScorer, mix: NDArray[np.float64] | None) -> None:
        """Judge one part of what was joined, and have the views of sql/join/scored.sql mean that part."""
        judged = self._work / f"scores-{number}.parquet"
        with (
            pq.ParquetFile(self._work / f"joined-{number}.parquet") as source,
            pq.ParquetWriter(judged, SCORED_SCHEMA, compression="none", use_dictionary=False) as writer,
        ):
            for batch in source.iter_batches(_ROWS_AT_ONCE, columns=SCORED_FROM):
                writer.write_batch(judge.score(batch, mix))
        for name in ("joined", "scores"):
            self._show(f"{name}_part", f"{name}-{number}.parquet")
        self._database.execute("CREATE OR REPLACE TEMP VIEW items AS " + self._items_text)
        # Without costs, items are not looked at for them.
        costs = query("join/bin_costs") if self._has_costs else "SELECT 0 AS items_at, 0.0::DOUBLE AS unit_cost LIMIT 0"
        self._database.execute("CREATE OR REPLACE TEMP TABLE bin_costs AS " + costs)

    def _keep(self, name: str, text: str, parameters: dict[str, Any] | None = None) -> None:
        """Write what a query gives to a Parquet file in the work folder."""
        # In any order: rows that wait for their turn take memory.
        self._database.execute("SET preserve_insertion_order = false")
        self._database.sql(text, params=parameters).write_parquet(str(self._work / f"{name}.parquet"))
        self._database.execute("SET preserve_insertion_order = true")

    @contextmanager
    def _sides_as_written(self) -> Iterator[None]:
        """Have joins keep in memory what stands on their right. DuckDB would take the items, which are fewer rows."""
        self._database.execute("SET disabled_optimizers = 'build_side_probe_side'")
        try:
            yield
        finally:
            self._database.execute("RESET disabled_optimizers")

    def _show(self, name: str, files: str) -> None:
        """Make a view of Parquet files in the work folder."""
        there = literal(f"{literal_path(self._work)}/{files}")
        numbered = "file_row_number = true" if name.endswith("_part") else "file_row_number = false"
        self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM read_parquet({there}, {numbered})")

    def _mix(self, judge: DiscrepancyScorer) -> NDArray[np.float64] | None:
        found = self._database.sql(query("join/prior_sample"), params={"most": _ENOUGH_FOR_A_MIX}).to_arrow_table()
        if not found.num_rows:
            return None
        probabilities = as_matrix(found["probabilities"].combine_chunks(), len(self._labels.names))
        return judge.detect_label_shift(probabilities, found["expected_count"].to_numpy())

    def _label_parameters(self) -> dict[str, Any]:
        return {"open_ended": self._labels.open_ended, "last_count": self._labels.values[-1]}

    def close(self) -> None:
        """Let go of the database file."""
        self._database.close()


@contextmanager
def _named(what: str, advice: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        detail = first_line(error)
        raise ReconcileError(f"cannot read the {what} in <out>: {detail}; {advice}") from None
