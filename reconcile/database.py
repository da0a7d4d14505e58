"""DuckDB connections with bounded memory and threads."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING

import duckdb

from reconcile.concurrency.cpu import available_cores
from reconcile.resources import query

if TYPE_CHECKING:
    from pathlib import Path


_MIN_MEMORY_MB, _MAX_MEMORY_MB, _BINS_PER_MB = 500, 2000, 1000
"""Limits of DuckDB's memory. DuckDB keeps other data on disk. Sorting there takes much longer in large runs."""
_MAX_THREADS = 2
"""Each thread needs more than a hundred megabytes, and two threads are fast enough for millions of bins."""


def open_database(work: Path) -> duckdb.DuckDBPyConnection:
    """Open an empty in-memory database with the macros of `sql/macros.sql`.

    Args:
        work: folder for data that does not fit into memory.
    """
    database = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "memory_limit": f"{_MIN_MEMORY_MB}MB",
            "temp_directory": tempfile.mkdtemp(prefix="duckdb-", dir=work),
            "threads": str(min(available_cores(), _MAX_THREADS)),
        }
    )
    # GLOBAL, because cursors do not have the settings of their connection. Without it they would use the variable TZ,
    # and DuckDB knows zones that Python does not know, such as PST.
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET enable_progress_bar = false")  # it would be drawn on standard output, which is for results
    database.execute(query("macros"))
    return database


def literal_path(path: Path | str) -> str:
    """Return a path with `*`, `?` and `[` escaped, because DuckDB's readers take paths as patterns."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def literal(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def set_memory_limit(database: duckdb.DuckDBPyConnection, bins: int) -> None:
    """Raise the memory limit of a database with the number of bins, up to a maximum."""
    database.execute(f"SET memory_limit = '{min(max(_MIN_MEMORY_MB, bins // _BINS_PER_MB), _MAX_MEMORY_MB)}MB'")
