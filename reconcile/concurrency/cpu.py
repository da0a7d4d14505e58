"""CPU limits of this process, which may have fewer cores than its machine."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
FETCHES_PER_CORE, MAX_FETCHES = 64, 256
"""Limits of `fetches_in_flight`."""


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    A container's CPU limit (`docker run --cpus 2`, Kubernetes' `limits`) is a quota of time. The kernel still shows
    every core. With one thread per core, the threads would sleep most of the time.

    Args:
        cgroup: the folder where the kernel shows the quota. The kernel documents `cpu.max` for cgroup v2 and
            `cpu.cfs_quota_us` for cgroup v1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(cgroup) or allowed))


def _quota(cgroup: Path) -> int | None:
    """Return the quota as a number of cores, rounded up, or None if there is no limit."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # not Linux, no cgroups, or "max": no limit
        return None


def fetches_in_flight() -> int:
    """Return the number of objects to fetch at the same time: 64 per core, at most 256.

    A request to S3 takes long, but hardly any CPU time. This number of requests delivers about as many photos as an
    otherwise idle core can decode. If S3 is fast, the fetchers wait for the decoders and cost nothing.
    """
    return min(FETCHES_PER_CORE * available_cores(), MAX_FETCHES)
