"""Process-wide tuning: memory allocator, scheduler class, GIL switch interval and garbage collector."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def use_system_allocator() -> None:
    """Have Arrow take its memory where Python, DuckDB and all others do, unless somebody chose otherwise.

    Arrow has a heap of its own, which keeps what was freed for itself. Without it a night of 10,000 photos needs 20 MB
    less and one of 389,000 bins 70 MB less, in the same time. Arrow looks at the variable when it is loaded: its own
    `set_memory_pool` comes too late for what its Parquet writer takes.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


_LOCK_SECONDS = 0.001
_NEW_OBJECTS = 50_000


def tune_for_batch() -> None:
    """Long turns on cores, for this process and those it starts; short waits for Python's lock, few for its garbage.

    Fetching, decoding and the model share the cores, and whoever is pushed aside finds cold caches afterwards. With
    Linux's policy SCHED_BATCH, which any process may take, a thread that wakes up pushes nobody aside (sched(7)).
    Where somebody chose another policy than the usual one for us, it stays.

    A decoder that comes back from libjpeg needs Python's lock for a moment only, but by default waits up to 5 ms for
    whoever has it (`sys.setswitchinterval`).

    After every 700 new objects Python looks for some that nothing but each other refers to, and every thread waits. A
    night makes objects by the hundred thousand (what is listed, above all) and hardly any that refer to each other: it
    looks after 50,000 (`gc.set_threshold`), which took a tenth off a night of 389,000 bins with JSON records.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(_LOCK_SECONDS)
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a sandbox may forbid it
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
