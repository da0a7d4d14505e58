"""The table of listed objects, and the search for new objects."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from reconcile.database import literal_path
from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.pages import as_table
from reconcile.resources import query
from reconcile.storage.base import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from reconcile.inputs.pages import Page


_ROWS_AT_ONCE = 50_000
_MERGE_SECONDS = 0.2
"""The longest time that pages are merged before the next step. If a listing is slower, each page is passed on
immediately."""
_SEARCH_PAUSE = 20
"""After a search for new objects, the next one waits this many times as long as that search took."""


class ListedObjects:
    """A table of the objects that are listed in this run, next to a table of the objects that are known already.

    The queries of sql/inputs/ read both tables.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str, known: str, new_objects_query: str) -> None:
        """Make both tables, empty.

        Args:
            database: the database of the run.
            name: the table of listed objects, such as `listed_images`.
            known: the table of known objects, such as `counted`.
            new_objects_query: the name of the query that finds new objects among those listed.
        """
        self._database = database
        self._name, self._known, self._new_objects_query = name, known, new_objects_query
        self._parts: set[str] = set()
        self._rows = 0
        database.execute(
            f"CREATE TABLE {name} (position BIGINT, key VARCHAR, bin_id VARCHAR, size BIGINT, etag VARCHAR, "
            "modified TIMESTAMPTZ)"
        )
        database.execute(f"CREATE TABLE {known} (key VARCHAR, etag VARCHAR, try_again BOOLEAN)")

    def mark_known(self, column: str, paths: Iterable[str]) -> None:
        """Add the objects in Parquet parts to the known objects. Parts that were added before are skipped.

        Args:
            column: the column of the parts that holds the keys.
            paths: the paths of all parts.

        Raises:
            duckdb.Error: A part cannot be read.
        """
        new_paths = [path for path in paths if path not in self._parts]
        if new_paths:
            parts = self._database.read_parquet([literal_path(path) for path in new_paths])
            parts.project(f"{column}, etag, try_again").insert_into(self._known)
            self._parts.update(new_paths)

    def find_new(self, pages: Iterable[Page], limit: int | None = None) -> Iterator[list[StoredObject]]:
        """Add the listed objects to the table, and yield the new objects.

        A search for new objects scans all known objects. The longer a search takes, the more pages are listed before
        the next one.

        Args:
            pages: pages of a bucket listing or of a key list, in any order.
            limit: the largest number of objects to add. None adds all.
        """
        cursor = self._database.cursor()
        start = end = 0
        next_search = 0.0
        for page in _merge(pages):
            table = page if limit is None else page.slice(0, limit - end)
            positions = np.arange(end, end + len(table))
            cursor.register("page", table.append_column("position", pa.array(positions)))
            columns = "position, key, bin_of(key), size, etag, modified"
            cursor.execute(f"INSERT INTO {self._name} SELECT {columns} FROM page")
            end += len(table)
            self._rows += len(table)
            if time.monotonic() >= next_search or end == limit:
                search_started = time.monotonic()
                new = self._new_between(start, end)
                now = time.monotonic()
                start, next_search = end, now + _SEARCH_PAUSE * (now - search_started)
                yield from _as_pages(new)
            if end == limit:
                return
        if start < end:
            yield from _as_pages(self._new_between(start, end))

    def _new_between(self, start: int, end: int) -> pa.Table:
        """Return the new objects among those listed from position `start` up to, but not including, `end`."""
        cursor = self._database.cursor()
        return cursor.sql(query(self._new_objects_query), params={"start": start, "end": end}).to_arrow_table()

    def __len__(self) -> int:
        return self._rows


def _as_pages(objects: pa.Table) -> Iterator[list[StoredObject]]:
    """Yield the objects in pages; one empty page if there are none."""
    for start in range(0, max(len(objects), 1), _ROWS_AT_ONCE):
        columns = (column.to_pylist() for column in objects.slice(start, _ROWS_AT_ONCE).columns)
        yield [StoredObject(*row) for row in zip(*columns, strict=True)]


def only_of_bins(pages: Iterable[Page], wanted: set[str]) -> Iterator[pa.Table]:
    """Yield only the objects of some bins. Stop as soon as each of these bins has an object.

    Args:
        pages: pages of a listing.
        wanted: the ids of the bins.
    """
    missing = set(wanted)
    for page in pages:
        table = _with_listed_columns(page)
        bins = [bin_id(key) for key in table["key"].to_pylist()]
        yield table.filter(pa.array([name in wanted for name in bins], pa.bool_()))
        missing.difference_update(bins)
        if not missing:
            return


def _merge(pages: Iterable[Page]) -> Iterator[pa.Table]:
    """Merge pages that arrive quickly, because DuckDB inserts fifty pages about as fast as one."""
    tables: list[pa.Table] = []
    rows, deadline = 0, 0.0
    for page in pages:
        if not len(page):
            continue
        tables.append(_with_listed_columns(page))
        rows += len(page)
        if rows >= _ROWS_AT_ONCE or time.monotonic() >= deadline:
            yield pa.concat_tables(tables)
            tables, rows, deadline = [], 0, time.monotonic() + _MERGE_SECONDS
    if tables:
        yield pa.concat_tables(tables)


def _with_listed_columns(page: Page) -> pa.Table:
    """Return a page as a table of key, size, etag and modified."""
    table = as_table(page) if isinstance(page, list) else page
    return table.select(["key", "size", "etag", "modified"])
