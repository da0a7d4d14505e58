"""What a night costs beside counting: starting up, a night with nothing new, and memory."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.machine import SCRIPTS, copy_bucket, row, run_reconcile

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 3
COPIES = 10


def measure_start() -> list[str]:
    """`reconcile --help`."""
    seconds = []
    for _ in range(3 * ROUNDS):
        started = time.perf_counter()
        subprocess.run([SCRIPTS / "reconcile", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return [
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`reconcile --help`, seconds", seconds, ".2f"),
    ]


def measure_quiet_night(bucket: Path, folder: Path) -> list[str]:
    """A run over photos that are all counted already, beside its own listing and report."""
    out = folder / "quiet"
    command = ("run", "--bucket", bucket, "--out", out, "--device", "cpu", "--max-unreadable", "100%")
    run_reconcile(*command, "--run-id", "first")
    seconds, parts = [], []
    for number in range(ROUNDS):
        taken = run_reconcile(*command, "--run-id", f"night-{number}").seconds
        summary = json.loads((out / f"runs/night-{number}/summary.json").read_text())
        assert summary["counted"] == 0
        seconds.append(taken)
        parts.append(summary["seconds"])
    photos = summary["images"]
    return [
        f"A night with nothing new, {photos:,} photos in a folder:",
        "",
        "| seconds | median | lowest – highest |",
        "| --- | --- | --- |",
        row("the whole command", seconds, ".2f"),
        *(row(f"of which {stage}", [part[stage] for part in parts], ".2f") for stage in parts[0]),
    ]


def measure_memory(bucket: Path, folder: Path) -> list[str]:
    """The most memory a run holds, over a bucket and over ten times as many photos."""
    peaks = []
    for copies in (1, COPIES):
        copied = folder / f"copies-{copies}"
        photos = copy_bucket(bucket, copied, copies)
        peak = run_reconcile("run", "--bucket", copied, "--out", folder / f"memory-{copies}", "--device", "cpu").peak
        peaks.append((photos, peak))
        print(f"{photos:,} photos: {peak:.0f} MB", flush=True)
    (few, small), (many, large) = peaks
    return [
        f"The most memory of a whole run: {small:.0f} MB over {few:,} photos, {large:.0f} MB over {many:,} "
        f"({large / small - 1:+.0%}; once each)."
    ]
