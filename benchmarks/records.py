"""python -m benchmarks.records [ROWS …]: a night's join and report over many records, beside the same in pandas.

Each measurement runs in a process of its own: `records_night` (the code of reconcile) and `pandas_baseline`. The two
take turns over the same files.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import Measured, run_measured
from benchmarks.records_data import REAL_ROWS, make_night
from reconcile.inference.counter import load_predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
MORE_ROWS = (1_000_000, 4_000_000)
LARGE_ROWS = (4_000_000, 20_000_000)
FORMS = {"table": "a CSV table", "json": "JSON records, with their products"}


def measure(folder: Path, sizes: tuple[int, ...] = (REAL_ROWS, *MORE_ROWS), rounds: int = ROUNDS) -> list[str]:
    """Make the nights in `folder`, which takes two gigabytes there, measure, and give the lines of a page of results.

    Args:
        folder: an empty one, for one night at a time.
        sizes: numbers of bins; of the first, pandas is measured too.
        rounds: of the first size, in turns; of the others there is one.
    """
    counter = load_predictor(None, "cpu", print)
    lines = []
    for place, rows in enumerate(sizes):
        night = folder / f"night-{rows}"
        make_night(night, rows, counter)
        lines += _beside_pandas(night, rows, rounds) if place == 0 else []
        if place == 0 and len(sizes) > 1:
            lines += [
                "",
                "| bins | seconds | processor seconds a million bins | peak memory |",
                "| --- | --- | --- | --- |",
            ]
        if len(sizes) > 1:
            lines.append(_row(rows, _once("records_night", night, "table")))
        print(lines[-1], flush=True)
        shutil.rmtree(night)
    return lines


def measure_large(folder: Path, sizes: tuple[int, ...] = LARGE_ROWS) -> list[str]:
    """The same for more bins than are joined at once, and how much disk they take; records from a table, once each."""
    counter = load_predictor(None, "cpu", print)
    lines = [
        "| bins | seconds | processor seconds a million bins | peak memory | most in TMPDIR, bytes a bin "
        "| counts, bytes a photo | reconciled.parquet, bytes a bin |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rows in sizes:
        night, work = folder / f"night-{rows}", folder / "work"
        work.mkdir(exist_ok=True)
        make_night(night, rows, counter)
        with _watching(work) as most:
            found = _once("records_night", night, "table")
        counts = _size(night / "out" / "counts")
        reconciled = (night / "out" / "runs" / "table" / "reconciled.parquet").stat().st_size
        lines.append(f"{_row(rows, found)} {most[0] / rows:,.0f} | {counts / rows:,.0f} | {reconciled / rows:,.0f} |")
        print(lines[-1], flush=True)
        shutil.rmtree(night)
    return lines


@contextmanager
def _watching(work: Path) -> Iterator[list[int]]:
    """Have what is measured work in a folder; the list yielded says how many bytes there were in it at most."""
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(1):
            most[0] = max(most[0], _size(work))

    before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(work)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)


def _size(folder: Path) -> int:
    """Bytes on disk of all files in it; some may go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += 512 * path.stat().st_blocks
    return total


def _beside_pandas(night: Path, rows: int, rounds: int) -> list[str]:
    """Both programs in turns, for both forms of records."""
    lines = [
        f"{rows:,} bins, everything counted; from the first page of the listing to the last file. Medians of {rounds} "
        "rounds in turns; the ratio is that of each round.",
        "",
        "| records from | | seconds | processor seconds of the process | peak memory |",
        "| --- | --- | --- | --- | --- |",
    ]
    for form, name in FORMS.items():
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(_once("pandas_baseline", night, form))
            ours.append(_once("records_night", night, form))
        for who, found in (("`reconcile run`", ours), ("pandas (`benchmarks/pandas_baseline.py`)", theirs)):
            seconds, processor, peak = (
                statistics.median(getattr(one, what) for one in found) for what in ("seconds", "processor", "peak")
            )
            lines.append(f"| {name} | {who} | {seconds:.1f} | {processor:.1f} | {peak:,.0f} MB |")
        times = [other.seconds / own.seconds for own, other in zip(ours, theirs, strict=True)]
        lines.append(
            f"| | **times as fast** | **{statistics.median(times):.1f}** | {min(times):.1f} – {max(times):.1f} | |"
        )
    return lines


def _row(rows: int, found: Measured) -> str:
    return f"| {rows:,} | {found.seconds:.1f} | {1e6 * found.processor / rows:.1f} | {found.peak:,.0f} MB |"


def _once(module: str, night: Path, form: str) -> Measured:
    for leftover in (night / "out" / "runs", night / "peer"):
        shutil.rmtree(leftover, ignore_errors=True)
    measured = run_measured(sys.executable, "-m", f"benchmarks.{module}", night, form)
    return replace(measured, seconds=float(measured.said.split()[-1]))


if __name__ == "__main__":
    sizes = tuple(int(argument.replace("_", "").replace(",", "")) for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as temporary:
        print("\n".join(measure(Path(temporary), sizes) if sizes else measure(Path(temporary))))
