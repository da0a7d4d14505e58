"""DuckDB as every part of a night uses it: within bounds, in a folder that is thrown away."""

from __future__ import annotations

import re
import tempfile
from typing import TYPE_CHECKING

import duckdb

from reconcile.concurrency.cpu import available_cores
from reconcile.resources import query

if TYPE_CHECKING:
    from pathlib import Path


_LEAST_MB, _MOST_MB, _BINS_A_MB = 500, 2000, 1000
"""Memory. What does not fit is kept on disk, where sorting a night takes longer than in proportion to its bins. With
300 MB, four million JSON records could not be joined; with 400, 389,000 take 0.3 s longer, and all of it 90 MB less."""
_MOST_THREADS = 2
"""Each wants over a hundred megabytes to itself; four million bins take two of them a minute or two."""


def open_database(work: Path) -> duckdb.DuckDBPyConnection:
    """An empty database with the macros of sql/.

    Args:
        work: a folder for what does not fit into memory.
    """
    database = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "memory_limit": f"{_LEAST_MB}MB",
            "temp_directory": tempfile.mkdtemp(prefix="duckdb-", dir=work),
            "threads": str(min(available_cores(), _MOST_THREADS)),
        }
    )
    database.execute("SET TimeZone = 'UTC'")
    database.execute("SET enable_progress_bar = false")  # it goes to standard output, where results are expected
    database.execute(query("macros"))
    return database


def literal_path(path: Path | str) -> str:
    """A path as DuckDB's readers take it, which look for files of a pattern: * ? and [ mean themselves."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def literal(text: str) -> str:
    """A text as it stands in SQL."""
    return "'" + text.replace("'", "''") + "'"


def allow_for(database: duckdb.DuckDBPyConnection, bins: int) -> None:
    """Let a database have as much memory as so many bins need, within bounds."""
    database.execute(f"SET memory_limit = '{min(max(_LEAST_MB, bins // _BINS_A_MB), _MOST_MB)}MB'")
