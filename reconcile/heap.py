"""Where memory comes from."""

from __future__ import annotations

import os


def share_one_heap() -> None:
    """Have Arrow take its memory where Python, DuckDB and all others do, unless somebody chose otherwise.

    Arrow has a heap of its own, which keeps what was freed for itself. Without it a night of 10,000 photos needs 20 MB
    less and one of 389,000 bins 70 MB less, in the same time. Arrow looks at the variable when it is loaded: its own
    `set_memory_pool` comes too late for what its Parquet writer takes.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
