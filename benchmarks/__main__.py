"""`make bench`: measure speed and memory, and write the results to benchmarks/RESULTS.md.

    python -m benchmarks [PART …]

Parts are throughput, feed, ray, records, start, quiet, memory and recount. Without arguments, all of them run. Two more
parts take long and run only if you name them: keys and large. Each part replaces its section in RESULTS.md. A section
states its date, machine and versions.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import keys, ray_overhead, records, recounting, startup_and_memory, throughput
from benchmarks.machine import copy_bucket, description, draw_bucket, serve
from reconcile.concurrency.process import tune_for_batch

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "RESULTS.md"
BINS = 1000
COPIES = {"small": 4, "large": 12}
"""The buckets, and the number of copies of the drawn bins in each. reconcile counts the large bucket. In the small one,
the first and the last batch would distort its speed."""
INPUT_SIZE = 160
TITLES = {
    "throughput": "Counting on a CPU",
    "feed": "What a host can feed to a GPU",
    "ray": "Ray on one machine",
    "records": "Records at scale",
    "large": "Twenty million bins",
    "keys": "Keys from an inventory",
    "start": "Starting up",
    "quiet": "A run with nothing new",
    "memory": "Memory",
    "recount": "Recounting with phones",
}


ONLY_IF_ASKED = ("large", "keys")


def main(wanted: list[str]) -> None:
    """Measure the parts, and write each to RESULTS.md as soon as it is done."""
    unknown = set(wanted) - set(TITLES)
    if unknown:
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(TITLES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sample = folder / "s3" / "sample"
        draw_bucket(sample, BINS)
        for bucket, copies in COPIES.items():
            copy_bucket(sample, folder / "s3" / bucket, copies)
        with serve(folder / "s3") as server:
            tune_for_batch()  # as `reconcile run` does; the stages and the baseline also do it
            parts: dict[str, Callable[[], list[str]]] = {
                "throughput": lambda: throughput.measure(server, "large", "small", folder),
                "feed": lambda: throughput.measure_feed(server, "large", folder, INPUT_SIZE),
                "ray": lambda: ray_overhead.measure(server, "small", folder),
                "records": lambda: records.measure(folder),
                "large": lambda: records.measure_large(folder),
                "keys": lambda: keys.measure(server, folder),
                "start": startup_and_memory.measure_start,
                "quiet": lambda: startup_and_memory.measure_nothing_new(sample, folder),
                "recount": lambda: recounting.measure(folder),
                "memory": lambda: startup_and_memory.measure_memory(sample, folder),
            }
            for name in wanted or [name for name in TITLES if name not in ONLY_IF_ASKED]:
                lines = parts[name]()
                write_section(name, lines)
                print("\n".join(lines), flush=True)


def write_section(name: str, lines: list[str]) -> None:
    """Replace the section of one part in RESULTS.md."""
    head = (
        "# Results\n\n"
        "`make bench` measures all of this, and `python -m benchmarks PART` measures one part. Figures are medians of "
        "several repetitions. Alternatives took turns. Photos are drawings of 448 x 352 pixels "
        f"({BINS:,} bins). The S3 server (rclone) runs on the same cores.\n"
    )
    text = RESULTS.read_text() if RESULTS.exists() else ""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE))
    when = f"`python -m benchmarks {name}`, {time.strftime('%Y-%m-%d')}, on {description()[0]}"
    sections[TITLES[name]] = "\n".join(["", when, "", *lines, "", ""])
    ordered = [title for title in TITLES.values() if title in sections]
    RESULTS.write_text(head + "\n" + "".join(f"## {title}\n{sections[title]}" for title in ordered).rstrip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
