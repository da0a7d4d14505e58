"""A disk-backed queue of objects to fetch. A listing can run far ahead of the fetching."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation
from reconcile.concurrency.background import Background
from reconcile.inputs.pages import as_table
from reconcile.storage.base import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb


_ROWS_PER_QUERY = 1000
_PATIENCE_SECONDS = 5.0
"""The seconds that `close` waits for the listing."""


class Backlog:
    """A first-in, first-out queue in a DuckDB table. One thread fills it, and another one reads it.

    A listing ends long before its objects are counted, so the amount of work is known early. The objects wait in
    DuckDB, so memory does not grow with their number.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create an empty backlog.

        Args:
            database: where to create the table.
            name: the name of the table.
        """
        self._database = database
        self._name = name
        self._changed = threading.Condition()
        self._ended = False
        self._is_complete = False
        self._error: BaseException | None = None
        self._thread: Background | None = None
        self._pages = 0
        self.total = 0
        """The number of objects that were added so far."""
        database.execute(
            f"CREATE TABLE {name} (position BIGINT, key VARCHAR, size BIGINT, etag VARCHAR, modified TIMESTAMPTZ)"
        )

    def fill(self, pages: Iterable[list[StoredObject]]) -> None:
        """Start a thread that adds every page. If the listing fails, iterating and waiting raise its error."""
        self._thread = Background(f"list-{self._name}", self._fill, pages)

    def _fill(self, pages: Iterable[list[StoredObject]]) -> None:
        try:
            cursor = self._database.cursor()
            for page in pages:
                if self._ended:
                    return
                cursor.register("page", as_table(page))
                cursor.execute(
                    f"INSERT INTO {self._name} SELECT {self.total} + position, key, size, etag, modified FROM page"
                )
                with self._changed:
                    self.total += len(page)
                    self._pages += 1
                    self._changed.notify_all()
            self._is_complete = True
        except BaseException as error:  # the thread that waits for pages raises it
            self._error = error
        finally:
            self.stop()

    def stop(self) -> None:
        """End the listing after its current page, and wake all threads that wait for more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_first_page(self) -> bool:
        """Wait for the first page.

        Returns:
            False if the listing ended without a page.

        Raises:
            KeyboardInterrupt: somebody asked this process to stop.
            Exception: the error that ended the listing.
        """
        with self._changed:
            while self._pages == 0 and not self._ended:
                cancellation.raise_if_cancelled()
                self._changed.wait(cancellation.POLL_SECONDS)
        if self._error is not None:
            raise self._error
        return self._pages > 0

    def wait(self) -> None:
        """Wait for the end of the listing.

        Raises:
            KeyboardInterrupt: somebody asked this process to stop.
            Exception: the error that ended the listing early.
        """
        with self._changed:
            while not self._ended:
                cancellation.raise_if_cancelled()
                self._changed.wait(cancellation.POLL_SECONDS)
        if self._error is not None:
            raise self._error

    @property
    def is_complete(self) -> bool:
        """True if `total` is final, because the listing reached its end and was not stopped."""
        return self._is_complete

    def __iter__(self) -> Iterator[StoredObject]:
        """Iterate over the objects in listing order, and wait for more until the listing has ended.

        Raises:
            Exception: the error that ended the listing early.
        """
        cursor = self._database.cursor()
        position = 0
        while True:
            with self._changed:
                while self.total == position and not self._ended:
                    self._changed.wait()
                if self.total == position:
                    break
            rows = cursor.execute(
                f"SELECT key, size, etag, modified FROM {self._name} "
                "WHERE position >= ? AND position < ? ORDER BY position",
                [position, position + _ROWS_PER_QUERY],
            ).fetchall()
            position += len(rows)
            for row in rows:
                yield StoredObject(*row)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the listing. A thread whose request hangs is abandoned."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
