"""What a bucket holds, as DuckDB notes it page by page, and what of it is new."""

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
_BULK_SECONDS = 0.2
"""A listing that takes longer for a page is not kept waiting for another."""
_REST = 20
"""How many times as long as the last look through all that is known took, none is made."""


class ListedObjects:
    """A table of objects as they are listed, beside one of those that were dealt with in earlier nights.

    The tables are named as the queries of sql/ have it: `listed_images` and `counted`, say.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str, known: str, step: str) -> None:
        """Make both tables, empty.

        Args:
            database: where they are made.
            name: of the one that is listed.
            known: of the other.
            step: the query that gives what is new in a stretch of the listing.
        """
        self._database = database
        self._name, self._known, self._step = name, known, step
        self._parts: set[str] = set()
        self._rows = 0
        database.execute(
            f"CREATE TABLE {name} (position BIGINT, key VARCHAR, bin_id VARCHAR, size BIGINT, etag VARCHAR, "
            "modified TIMESTAMPTZ)"
        )
        database.execute(f"CREATE TABLE {known} (key VARCHAR, etag VARCHAR, try_again BOOLEAN)")

    def mark_known(self, column: str, paths: Iterable[str]) -> None:
        """Note the keys that are in Parquet parts, as far as the parts are new.

        Args:
            column: which of theirs has the keys.
            paths: of all parts.

        Raises:
            duckdb.Error: one of them cannot be read.
        """
        new = [path for path in paths if path not in self._parts]
        if new:
            parts = self._database.read_parquet([literal_path(path) for path in new])
            parts.project(f"{column}, etag, try_again").insert_into(self._known)
            self._parts.update(new)

    def find_new(self, pages: Iterable[Page], limit: int | None = None) -> Iterator[list[StoredObject]]:
        """Note what is listed, up to `limit`, and give back what is new.

        To tell what is new, all that is known has to be looked through. The longer that takes, the longer a listing
        goes on before it is done again.

        Args:
            pages: of a listing, or of what stands for one, in any order.
            limit: of objects.
        """
        cursor = self._database.cursor()
        start = end = 0
        due = 0.0
        for page in _bulk(pages):
            table = page if limit is None else page.slice(0, limit - end)
            places = np.arange(end, end + len(table))
            cursor.register("page", table.append_column("position", pa.array(places)))
            columns = "position, key, bin_of(key), size, etag, modified"
            cursor.execute(f"INSERT INTO {self._name} SELECT {columns} FROM page")
            end += len(table)
            self._rows += len(table)
            if time.monotonic() >= due or end == limit:
                looked = time.monotonic()
                found = self._new_between(start, end)
                now = time.monotonic()
                start, due = end, now + _REST * (now - looked)
                yield from _as_pages(found)
            if end == limit:
                return
        if start < end:
            yield from _as_pages(self._new_between(start, end))

    def _new_between(self, start: int, end: int) -> pa.Table:
        """What is new of a stretch."""
        cursor = self._database.cursor()
        return cursor.sql(query(self._step), params={"start": start, "end": end}).to_arrow_table()

    def __len__(self) -> int:
        return self._rows


def _as_pages(found: pa.Table) -> Iterator[list[StoredObject]]:
    """Pages of these; one that is empty, where there is nothing."""
    for start in range(0, max(len(found), 1), _ROWS_AT_ONCE):
        columns = (column.to_pylist() for column in found.slice(start, _ROWS_AT_ONCE).columns)
        yield [StoredObject(*row) for row in zip(*columns, strict=True)]


def of_bins(pages: Iterable[Page], wanted: set[str]) -> Iterator[pa.Table]:
    """What is of these bins, until something of each has been found."""
    missing = set(wanted)
    for page in pages:
        table = _as_table(page)
        bins = [bin_id(key) for key in table["key"].to_pylist()]
        yield table.filter(pa.array([name in wanted for name in bins], pa.bool_()))
        missing.difference_update(bins)
        if not missing:
            return


def _bulk(pages: Iterable[Page]) -> Iterator[pa.Table]:
    """Put pages together that come faster than they are asked for: DuckDB takes fifty about as fast as one."""
    gathered: list[pa.Table] = []
    rows, due = 0, 0.0
    for page in pages:
        if not len(page):
            continue
        gathered.append(_as_table(page))
        rows += len(page)
        if rows >= _ROWS_AT_ONCE or time.monotonic() >= due:
            yield pa.concat_tables(gathered)
            gathered, rows, due = [], 0, time.monotonic() + _BULK_SECONDS
    if gathered:
        yield pa.concat_tables(gathered)


def _as_table(page: Page) -> pa.Table:
    table = as_table(page) if isinstance(page, list) else page
    return table.select(["key", "size", "etag", "modified"])
