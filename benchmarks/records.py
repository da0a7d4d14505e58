"""python -m benchmarks.records [ROWS …]: measure the join and report of many records, next to the same in pandas.

Each measurement runs in a separate process: `records_run` (the code of reconcile) and `pandas_baseline`. The two take
turns over the same files.
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
from benchmarks.records_data import REAL_ROWS, make_run_data
from reconcile.inference.counter import load_predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
MORE_ROWS = (1_000_000, 4_000_000)
LARGE_ROWS = (4_000_000, 20_000_000)
FORMS = {"table": "a CSV table", "json": "JSON records, with their products"}


def measure(folder: Path, sizes: tuple[int, ...] = (REAL_ROWS, *MORE_ROWS), rounds: int = ROUNDS) -> list[str]:
    """Write the data into `folder`, which needs two gigabytes, measure, and return the lines of the results.

    Args:
        folder: an empty folder, for the data of one size at a time.
        sizes: numbers of bins. pandas is measured for the first size only.
        rounds: rounds for the first size. The other sizes are measured once.
    """
    counter = load_predictor(None, "cpu", print)
    lines = []
    for index, rows in enumerate(sizes):
        data = folder / f"run-{rows}"
        make_run_data(data, rows, counter)
        lines += _beside_pandas(data, rows, rounds) if index == 0 else []
        if index == 0 and len(sizes) > 1:
            lines += [
                "",
                "| bins | seconds | CPU seconds per million bins | peak memory |",
                "| --- | --- | --- | --- |",
            ]
        if len(sizes) > 1:
            lines.append(_row(rows, _once("records_run", data, "table")))
        print(lines[-1], flush=True)
        shutil.rmtree(data)
    return lines


def measure_large(folder: Path, sizes: tuple[int, ...] = LARGE_ROWS) -> list[str]:
    """Measure larger runs, which are joined in partitions, once each, with a table of records. Include disk usage."""
    counter = load_predictor(None, "cpu", print)
    lines = [
        "| bins | seconds | CPU seconds per million bins | peak memory | peak of TMPDIR, bytes per bin "
        "| counts, bytes per photo | reconciled.parquet, bytes per bin |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rows in sizes:
        data, work = folder / f"run-{rows}", folder / "work"
        work.mkdir(exist_ok=True)
        make_run_data(data, rows, counter)
        with _watching(work) as most:
            measured = _once("records_run", data, "table")
        counts = _size(data / "out" / "counts")
        reconciled = (data / "out" / "runs" / "table" / "reconciled.parquet").stat().st_size
        lines.append(
            f"{_row(rows, measured)} {most[0] / rows:,.0f} | {counts / rows:,.0f} | {reconciled / rows:,.0f} |"
        )
        print(lines[-1], flush=True)
        shutil.rmtree(data)
    return lines


@contextmanager
def _watching(work: Path) -> Iterator[list[int]]:
    """Set TMPDIR to a folder. The yielded list holds the peak number of bytes in it."""
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
    """Return the bytes on disk of all files in a folder. Files may disappear in the meantime."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += 512 * path.stat().st_blocks
    return total


def _beside_pandas(data: Path, rows: int, rounds: int) -> list[str]:
    """Measure both programs in turns, for both forms of records."""
    lines = [
        f"{rows:,} bins, all counted already. From the first page of the listing to the last file. Medians of {rounds} "
        "rounds in which the two took turns. The ratio is that of each round.",
        "",
        "| records from | | seconds | CPU seconds of the process | peak memory |",
        "| --- | --- | --- | --- | --- |",
    ]
    for form, name in FORMS.items():
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(_once("pandas_baseline", data, form))
            ours.append(_once("records_run", data, form))
        for who, measurements in (("`reconcile run`", ours), ("pandas (`benchmarks/pandas_baseline.py`)", theirs)):
            seconds, cpu_seconds, peak = (
                statistics.median(getattr(one, what) for one in measurements)
                for what in ("seconds", "cpu_seconds", "peak")
            )
            lines.append(f"| {name} | {who} | {seconds:.1f} | {cpu_seconds:.1f} | {peak:,.0f} MB |")
        times = [other.seconds / own.seconds for own, other in zip(ours, theirs, strict=True)]
        low, middle, high = min(times), statistics.median(times), max(times)
        lines.append(f"| | **pandas / reconcile, time** | **{middle:.1f}** | {low:.1f} – {high:.1f} | |")
    return lines


def _row(rows: int, measured: Measured) -> str:
    return f"| {rows:,} | {measured.seconds:.1f} | {1e6 * measured.cpu_seconds / rows:.1f} | {measured.peak:,.0f} MB |"


def _once(module: str, data: Path, form: str) -> Measured:
    for leftover in (data / "out" / "runs", data / "baseline"):
        shutil.rmtree(leftover, ignore_errors=True)
    measured = run_measured(sys.executable, "-m", f"benchmarks.{module}", data, form)
    return replace(measured, seconds=float(measured.stdout.split()[-1]))


if __name__ == "__main__":
    sizes = tuple(int(argument.replace("_", "").replace(",", "")) for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as temporary:
        print("\n".join(measure(Path(temporary), sizes) if sizes else measure(Path(temporary))))
