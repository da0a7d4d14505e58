"""Objects that are listed and not yet fetched. They wait in DuckDB, so that the listing can run far ahead."""

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


_AT_ONCE = 1000
_PATIENCE_SECONDS = 5.0


class Backlog:
    """A queue in DuckDB that one thread fills and another empties, in the same order.

    A listing of a million keys ends minutes before they are counted; only then is it known how much there is to do.
    Holding them here instead of in memory keeps memory independent of their number.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str) -> None:
        self._database = database
        self._name = name
        self._changed = threading.Condition()
        self._ended = False
        self._is_whole = False
        self._error: BaseException | None = None
        self._thread: Background | None = None
        self._pages = 0
        self.total = 0
        """How many objects have been put in so far."""
        database.execute(
            f"CREATE TABLE {name} (position BIGINT, key VARCHAR, size BIGINT, etag VARCHAR, modified TIMESTAMPTZ)"
        )

    def fill(self, pages: Iterable[list[StoredObject]]) -> None:
        """Start a thread that puts in every page; an error of the listing is raised again to whoever iterates."""
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
            self._is_whole = True
        except BaseException as error:  # it belongs to the thread that waits for the pages
            self._error = error
        finally:
            self.stop()

    def stop(self) -> None:
        """End the listing after the page it is at, and wake whoever waits for more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def has_a_page(self) -> bool:
        """Wait for the first page; False where the listing ended without one.

        Raises:
            Exception: what ended the listing.
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
            Exception: what ended it early.
        """
        with self._changed:
            while not self._ended:
                cancellation.raise_if_cancelled()
                self._changed.wait(cancellation.POLL_SECONDS)
        if self._error is not None:
            raise self._error

    @property
    def is_complete(self) -> bool:
        """Whether `total` is final: the listing came to its end, and was not merely ended."""
        return self._is_whole

    def __iter__(self) -> Iterator[StoredObject]:
        """The objects in listing order, as soon as they are there, until the listing has ended."""
        cursor = self._database.cursor()
        taken = 0
        while True:
            with self._changed:
                while self.total == taken and not self._ended:
                    self._changed.wait()
                if self.total == taken:
                    break
            rows = cursor.execute(
                f"SELECT key, size, etag, modified FROM {self._name} "
                "WHERE position >= ? AND position < ? ORDER BY position",
                [taken, taken + _AT_ONCE],
            ).fetchall()
            taken += len(rows)
            for row in rows:
                yield StoredObject(*row)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the listing, if it is still going on; a request that hangs is left to itself."""
        self.stop()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
