"""Sources of the records of a run: JSON objects of the bucket, or the rows of one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from reconcile.inputs.records_table import load_table
from reconcile.inputs.table_options import TableOptions
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import duckdb

    from reconcile.setting_types import Aggregate, DecimalMark


_ITEMS = "SELECT items_at, items FROM record_parts"


class RecordSource(Protocol):
    """The interface between a source of records and the join: tables, and queries over these tables."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that hold the records; a large run splits them by bin. The first has a row or more per record."""

    @property
    def duplicate_queries(self) -> tuple[str, ...]:
        """The names of the queries in sql/join/ that find duplicate records, in the order in which they run."""

    @property
    def records_sql(self) -> str:
        """A query for all records: bin_id, record_key, expected_quantity, items_at, note, changed_at, reason."""

    @property
    def items_sql(self) -> str:
        """A query for the items of the records: items_at, items."""

    def load(self, database: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Make the tables that `Reconciler` does not make itself.

        Args:
            database: the database of the run.
            folder: a folder for temporary files.

        Raises:
            UsageError: a column is missing, or the type of the file is unknown.
            ReconcileError: the file cannot be read.
        """


@dataclass(frozen=True)
class JsonRecords:
    """The JSON objects of the bucket that the run lists, as `RecordReader` wrote them to `<out>/records/`."""

    tables: ClassVar[tuple[str, ...]] = ("listed_records", "record_parts")
    duplicate_queries: ClassVar[tuple[str, ...]] = ("duplicate_records", "bins_with_several_records")
    items_sql: ClassVar[str] = _ITEMS

    @property
    def records_sql(self) -> str:
        """A query with one row for each listed record."""
        return query("inputs/records_from_json")

    def load(self, database: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Do nothing, because `Reconciler` makes the tables of listed records and record parts."""


@dataclass(frozen=True)
class TableRecords:
    """The rows of one table: CSV, a workbook, Parquet or JSON Lines."""

    path: Path
    """The file on this machine."""
    name: str
    """The file as the user named it, for messages and record keys."""
    columns: Mapping[str, str]
    """Our column names to those of the table; see `TableOptions`."""
    only_of_images: bool = False
    """True to leave out the records of bins that have no image in this run."""
    aggregate: Aggregate | None = None
    """The treatment of several rows of a bin."""
    decimal: DecimalMark | None = None
    """The decimal mark of the quantities; None takes it from the table."""
    notify: Callable[[str], None] = lambda note: None
    """Called with each note for the user about how the table was read."""

    duplicate_queries: ClassVar[tuple[str, ...]] = ("bins_with_several_records",)

    @property
    def options(self) -> TableOptions:
        """The options for reading the table."""
        return TableOptions(self.columns, self.aggregate, self.decimal)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the rows: one row a record, and one row a product if the table has products."""
        return ("source_rows", "product_rows") if self.options.has_products else ("source_rows",)

    @property
    def items_sql(self) -> str:
        """A query for the items of the records."""
        return query("inputs/items_from_products") if self.options.has_products else f"{_ITEMS} LIMIT 0"

    @property
    def records_sql(self) -> str:
        """A query with one row for each row of the table."""
        wanted = "SELECT t.* FROM t SEMI JOIN listed_images USING (bin_id)" if self.only_of_images else "FROM t"
        name = "records_from_products" if self.options.has_products else "records_from_table"
        return f"WITH t AS ({query(f'inputs/{name}')}) {wanted}"

    def load(self, database: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Load the file into the table `source_rows`.

        Args:
            database: the database of the run.
            folder: not used.

        Raises:
            UsageError: `load_table` refuses the table.
            ReconcileError: the file cannot be read.
        """
        for note in load_table(database, self.path, self.name, self.options):
            self.notify(note)
