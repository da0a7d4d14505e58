"""Process-wide tuning: memory allocator, scheduler class, GIL switch interval and garbage collector."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def use_system_allocator() -> None:
    """Make Arrow allocate memory like the rest of the process, unless the environment names another allocator.

    Arrow's own allocator keeps freed memory to itself. Arrow reads the variable when it is loaded, so call this
    function first. `pyarrow.set_memory_pool` would come too late for the Parquet writer.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


_SWITCH_SECONDS = 0.001
_COLLECT_AFTER_OBJECTS = 50_000


def tune_for_batch() -> None:
    """Tune this process and the processes that it starts for throughput.

    - Scheduler class `SCHED_BATCH`: a thread that wakes up does not preempt a running thread, whose caches stay warm.
      See sched(7). Any process may choose this class. If somebody chose another class than the default, it stays.
    - GIL switch interval of 1 ms instead of 5 ms (`sys.setswitchinterval`). A decoder that returns from libjpeg needs
      the GIL only for a moment.
    - Garbage collection after 50,000 new objects instead of 700 (`gc.set_threshold`). Each collection stops every
      thread. A run creates many objects, above all listed ones, and hardly any of them form reference cycles.
    """
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(_SWITCH_SECONDS)
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):  # a sandbox may forbid it
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
