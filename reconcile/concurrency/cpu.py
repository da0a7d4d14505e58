"""How many cores this process may keep busy: fewer than the machine has, where a container or taskset says so."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
FETCHES_A_CORE, MOST_FETCHES = 64, 256


def available_cores(cgroup: Path = _CGROUP) -> int:
    """The cores this process is allowed, at least 1.

    A container's CPU limit (`docker run --cpus 2`, Kubernetes' `limits`) is a quota of time: the kernel still shows
    every core, and as many threads as cores would be put to sleep most of the time.

    Args:
        cgroup: where the kernel tells of the quota; see "cpu.max" in its documentation of cgroup v2, and
            "cpu.cfs_quota_us" in that of v1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(cgroup) or allowed))


def _quota(cgroup: Path) -> int | None:
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # no Linux, no cgroups, or "max": no limit
        return None


def fetches_in_flight() -> int:
    """How many objects are asked for at a time: 64 for each core, 256 at most.

    An object of S3 is under way for 20 ms, or 100 where S3 is slow, whoever asks. So these bring about as many a second
    as a core can decode that does nothing else, as on a machine with a GPU. Where S3 is fast they cost nothing: they
    wait for the decoders.
    """
    return min(FETCHES_A_CORE * available_cores(), MOST_FETCHES)
