"""Measure start-up time, a run with nothing new, and memory."""

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
    """Time `reconcile --help`."""
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


def measure_nothing_new(bucket: Path, folder: Path) -> list[str]:
    """Time a run over photos that are all counted already, and its stages."""
    out = folder / "nothing-new"
    command = ("run", "--bucket", bucket, "--out", out, "--device", "cpu", "--max-unreadable", "100%")
    run_reconcile(*command, "--run-id", "first")
    seconds, parts = [], []
    for number in range(ROUNDS):
        elapsed = run_reconcile(*command, "--run-id", f"again-{number}").seconds
        summary = json.loads((out / f"runs/again-{number}/summary.json").read_text())
        assert summary["counted"] == 0
        seconds.append(elapsed)
        parts.append(summary["seconds"])
    photos = summary["images"]
    return [
        f"A run with nothing new, over {photos:,} photos in a local folder:",
        "",
        "| seconds | median | lowest – highest |",
        "| --- | --- | --- |",
        row("the whole command", seconds, ".2f"),
        *(row(f"stage `{stage}`", [part[stage] for part in parts], ".2f") for stage in parts[0]),
    ]


def measure_memory(bucket: Path, folder: Path) -> list[str]:
    """Measure the peak memory of a run over a bucket, and over ten times as many photos."""
    peaks = []
    for copies in (1, COPIES):
        copied = folder / f"copies-{copies}"
        photos = copy_bucket(bucket, copied, copies)
        peak = run_reconcile("run", "--bucket", copied, "--out", folder / f"memory-{copies}", "--device", "cpu").peak
        peaks.append((photos, peak))
        print(f"{photos:,} photos: {peak:.0f} MB", flush=True)
    (few, small), (many, large) = peaks
    return [
        f"Peak memory of a whole run: {small:.0f} MB over {few:,} photos, {large:.0f} MB over {many:,} "
        f"({large / small - 1:+.0%}; once each)."
    ]
