"""Split the tables of a large run by a hash of the bin id. Each part is then joined in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.database import literal, literal_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb


_BIN_ID_OF = {
    "listed_images": "bin_id",
    "counts": "bin_of(image_key)",
    "listed_records": "bin_id",
    "record_parts": "bin_id",
    "source_rows": "nullif(trim(bin_id), '')",
    "product_rows": "nullif(trim(bin_id), '')",
}
"""The tables that can be split, and the SQL expression for the bin id of their rows."""
_KEY_TABLES = {
    "counted": ("counts", "SELECT image_key AS key, etag FROM counts"),
    "read_records": ("record_parts", "SELECT record_key AS key, etag FROM record_parts"),
}
"""The tables of keys, each with the table from which it follows and the query."""
_ROW_GROUP = 16_384
"""Rows. All parts of a table are written at the same time, and each keeps a row group in memory."""


class Partitions:
    """Tables of a run, split into parts. While a part is shown, the names of the tables refer to this part alone."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, folder: Path, record_tables: Sequence[str], count: int
    ) -> None:
        """Choose the tables; `cut` splits them.

        Args:
            database: the database of the run.
            folder: a folder for the parts, which are Parquet files.
            record_tables: the tables that hold the records. The tables of the images are always split.
            count: the number of parts. With 1, the tables stay as they are.
        """
        self._database, self._folder, self.count = database, folder, count
        self._tables = ["listed_images", "counts", *record_tables]

    def cut(self) -> None:
        """Write the parts of every table. All rows of a bin are in the parts with the same number."""
        if self.count == 1:
            return
        self._database.execute("SET preserve_insertion_order = false")
        for name in self._tables:
            target = literal(str(self._folder / name))
            self._database.execute(f"""
                COPY (SELECT *, hash({_BIN_ID_OF[name]}) % {self.count} AS part FROM {name})
                TO {target} (FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE {_ROW_GROUP})
            """)
        self._database.execute("SET preserve_insertion_order = true")

    def show(self, number: int) -> None:
        """Make the names of the tables refer to one part.

        Args:
            number: the part, from 0.
        """
        if self.count == 1:
            return
        for name in self._tables:
            folder = self._folder / name / f"part={number}"
            files = literal(f"{literal_path(folder)}/*.parquet")
            part = f"FROM read_parquet({files}, hive_partitioning = false)"
            sql = part if any(folder.glob("*.parquet")) else f"FROM memory.main.{name} LIMIT 0"
            # DuckDB finds a temporary view before a table of the same name.
            self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")
        for name, (source, sql) in _KEY_TABLES.items():
            if source in self._tables:
                self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")
