"""The tables of a night cut into parts by bin, so that each part can be joined in memory, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.database import literal, literal_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb


_BIN_OF = {
    "listed_images": "bin_id",
    "counts": "bin_of(image_key)",
    "listed_records": "bin_id",
    "record_parts": "bin_id",
    "source_rows": "nullif(trim(bin_id), '')",
}
"""The tables that may be cut, and what says which bin a row of them is of."""
_KEYS_OF = {
    "counted": ("counts", "SELECT image_key AS key, etag FROM counts"),
    "read_records": ("record_parts", "SELECT record_key AS key, etag FROM record_parts"),
}
"""Tables of keys that follow from one that is cut."""
_ROW_GROUP = 16_384
"""Rows. Every part of every table is written at once, and holds as many in memory."""


class Partitions:
    """Tables of a night, cut. While a part is shown, the tables' names mean that part alone."""

    def __init__(self, database: duckdb.DuckDBPyConnection, folder: Path, records: Sequence[str], count: int) -> None:
        """Nothing is cut yet.

        Args:
            database: of the night.
            folder: for the parts, as Parquet.
            records: the tables that the records are in, beside those of the images.
            count: of parts. With 1 nothing is cut, and the tables stay as they are.
        """
        self._database, self._folder, self.count = database, folder, count
        self._tables = ["listed_images", "counts", *records]

    def cut(self) -> None:
        """Write the parts of every table. A bin is in the same part of each."""
        if self.count == 1:
            return
        self._database.execute("SET preserve_insertion_order = false")
        for name in self._tables:
            there = literal(str(self._folder / name))
            self._database.execute(f"""
                COPY (SELECT *, hash({_BIN_OF[name]}) % {self.count} AS part FROM {name})
                TO {there} (FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE {_ROW_GROUP})
            """)
        self._database.execute("SET preserve_insertion_order = true")

    def show(self, number: int) -> None:
        """Have the tables' names mean one part of them."""
        if self.count == 1:
            return
        for name in self._tables:
            folder = self._folder / name / f"part={number}"
            files = literal(f"{literal_path(folder)}/*.parquet")
            there = f"FROM read_parquet({files}, hive_partitioning = false)"
            text = there if any(folder.glob("*.parquet")) else f"FROM memory.main.{name} LIMIT 0"
            # A temporary view goes before a table of its name.
            self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {text}")
        for name, (of, text) in _KEYS_OF.items():
            if of in self._tables:
                self._database.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {text}")
