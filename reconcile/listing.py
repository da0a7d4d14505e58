"""What a bucket holds, as DuckDB notes it page by page, and what of it is new."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.backlog import as_table
from reconcile.bucket import StoredObject
from reconcile.records import bin_id
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from reconcile.backlog import Page

_ROWS_AT_ONCE = 50_000
_BULK_SECONDS = 0.2
"""A listing that takes longer for a page is not kept waiting for another."""
_LOOKS = 4
"""How often all that is known is looked through for keys in any order, at most, for each time that they are as many."""


class Listing:
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

    def know(self, column: str, paths: Iterable[str]) -> None:
        """Note the keys that are in Parquet parts, as far as the parts are new.

        Args:
            column: which of theirs has the keys.
            paths: of all parts.

        Raises:
            duckdb.Error: one of them cannot be read.
        """
        new = [path for path in paths if path not in self._parts]
        if new:
            parts = self._database.read_parquet(new)
            parts.project(f"{column}, etag, try_again").insert_into(self._known)
            self._parts.update(new)

    def new(self, pages: Iterable[Page], limit: int | None = None, *, in_order: bool) -> Iterator[list[StoredObject]]:
        """Note what is listed, up to `limit`, and give back what is new.

        Args:
            pages: of a listing, or of what stands for one.
            limit: of objects.
            in_order: keys rise. Then what is known of each stretch is found among its neighbours. Else all that is
                known has to be looked through, which is done for the more keys at a time the more are known.
        """
        cursor = self._database.cursor()
        least = 0 if in_order else len(cursor.table(self._known)) // _LOOKS
        start = end = 0
        first = last = None
        for page in _bulk(pages):
            table = page if limit is None else page.slice(0, limit - end)
            places = np.arange(end, end + len(table))
            cursor.register("page", table.append_column("position", pa.array(places)))
            cursor.execute(
                f"INSERT INTO {self._name} SELECT position, key, bin_of(key), size, etag, modified FROM page"
            )
            end += len(table)
            self._rows += len(table)
            ends = pc.min_max(table["key"]).as_py()
            first = ends["min"] if first is None else min(first, ends["min"])
            last = ends["max"] if last is None else max(last, ends["max"])
            if end - start >= least or end == limit:
                yield from self._new_between(start, end, first, last)
                start, first, last = end, None, None
            if end == limit:
                return
        if start < end:
            yield from self._new_between(start, end, first, last)

    def _new_between(self, start: int, end: int, first: str | None, last: str | None) -> Iterator[list[StoredObject]]:
        """What is new of a stretch, in pages; one that is empty, where nothing is."""
        stretch = {"start": start, "end": end, "first": first, "last": last}
        found = self._database.cursor().sql(query(self._step), params=stretch).to_arrow_reader(_ROWS_AT_ONCE)
        is_empty = True
        for batch in found:
            yield [StoredObject(*row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]
            is_empty = False
        if is_empty:
            yield []

    def __len__(self) -> int:
        return self._rows


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
