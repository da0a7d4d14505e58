"""Compute the tables of docs/explanation/scaling.md: needs of one warehouse, a hundred, and 175 million bins.

    python -m benchmarks.scaling

writes the tables into that page and prints them. This module measures nothing. Its input is scaling_figures.py.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scaling_figures import FIGURES, figure
from reconcile.concurrency.cpu import FETCHES_PER_CORE, MAX_FETCHES
from reconcile.streaming.write_parts import PART_ROWS, PART_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "scaling.md"
RUN_SECONDS = 6 * 3600
SCALES = {"1 warehouse": 388_861, "100 warehouses": 38_886_100, "175 million bins": 175_000_000}
WORK_OF_RESNET50 = 4.089 / 3.664 * (224 / 160) ** 2
"""Work of ResNet50 at 224 px, in multiples of ResNet34 at 160 px. torchvision states the GFLOPS of both at 224 px."""


def figures() -> list[str]:
    """Return the table of all input figures."""
    rows = [(one.what, f"{one.value:,}", one.source) for one in FIGURES.values()]
    return table(("figure", "value", "source"), rows)


def requests() -> list[str]:
    """Return the table of S3 requests, their cost and their duration."""
    get, listing = figure("get") / 1e6, figure("list") / figure("page") / 1e6
    gets_per_prefix = figure("gets") * RUN_SECONDS
    cells: dict[str, Callable[[int], str]] = {
        "bytes of photos": lambda bins: byte_size(bins * figure("photo")),
        "GET requests for photos": lambda bins: f"{bins:,}, {dollars(bins * get)}",
        "GET requests with JSON records": lambda bins: f"{2 * bins:,}, {dollars(2 * bins * get)}",
        "photos per second, in six hours": lambda bins: f"{bins / RUN_SECONDS:,.0f}",
        "prefixes needed, at least": lambda bins: f"{math.ceil(bins / gets_per_prefix)}",
        "prefixes needed with JSON records": lambda bins: f"{math.ceil(2 * bins / gets_per_prefix)}",
        "LIST requests for photos": lambda bins: f"{math.ceil(bins / figure('page')):,}, {dollars(bins * listing)}",
        "time of these LIST requests, one after another": lambda bins: request_time(bins / figure("page")),
        "S3 Inventory of the photos instead": lambda bins: dollars(bins * figure("inventory") / 1e6),
        "time to read the inventory": lambda bins: duration(bins / 1e6 * figure("keys") / 3600),
    }
    rows = [(what, *(cell(bins) for bins in SCALES.values())) for what, cell in cells.items()]
    return table(("a run in which every photo is new", *SCALES), rows)


def machines() -> list[str]:
    """Return the table of machines: their speed, and what a run costs if every photo is new."""
    plain, feed, gpu = figure("plain"), figure("feed"), figure("t4") * WORK_OF_RESNET50
    speeds = {
        "c7i.4xlarge": rate(16, 8 * figure("vnni"), 16 * figure("vnni")),
        "g4dn.xlarge": rate(4, min(gpu, 2 * feed), min(gpu, 4 * feed)),
    }
    rows = [("two cores without VNNI, measured", *counting((2 * plain, 2 * plain), None))]
    rows += [(f"EC2 {machine}", *counting(speed, machine)) for machine, speed in speeds.items()]
    for name, prices in (("serve", "ml."), ("ray", "")):
        relative_speed = figure(name) / (2 * plain)
        for machine, (least, most) in speeds.items():
            cells = counting((least * relative_speed, most * relative_speed), prices + machine)
            rows.append((f"{'SageMaker' if prices else 'Ray on'} {prices}{machine}", *cells))
    return table(("machine", "images/s of one", *SCALES), rows)


def rate(vcpus: int, least: float, most: float) -> tuple[float, float]:
    """Limit a machine's images per second to the rate of its fetches in flight, at the slowest and the fastest S3."""
    in_flight = min(FETCHES_PER_CORE * vcpus, MAX_FETCHES)
    return min(least, in_flight / figure("slow")), min(most, in_flight / figure("fast"))


def counting(speed: tuple[float, float], price: str | None) -> tuple[str, ...]:
    """Return the cells of a machine: images per second; per scale, machines for six hours, their hours, and dollars."""
    cells = []
    for bins in SCALES.values():
        hours = [bins / images / 3600 for images in reversed(speed)]
        number = value_range([f"{math.ceil(one * 3600 / RUN_SECONDS)}" for one in hours])
        cost = "" if price is None else "; " + value_range([dollars(one * figure(price)) for one in hours])
        cells.append(f"{number}; {value_range([duration(one) for one in hours])}{cost}")
    return value_range([f"{one:,.0f}" for one in speed]), *cells


def joining() -> list[str]:
    """Return the table from counts and a table of records to the report: one process per warehouse, or one for all."""
    one = (f"{figure('join one')} s", f"{figure('memory one'):.0f} MB", *disk_and_parts(SCALES["1 warehouse"]))
    rows = [("one `<out>` and one process per warehouse", *one)]
    for name in ("100 warehouses", "175 million bins"):
        join = (
            duration(SCALES[name] / 1e6 * figure("join 20") / 3600),
            f"{figure('memory 20'):,.0f} MB at 20 million",
        )
        rows.append((f"one `<out>` for all {name}", *join, *disk_and_parts(SCALES[name])))
    return table(
        ("", "time of each", "memory", "temporary disk", "counts", "time to download the counts from S3"), rows
    )


def disk_and_parts(bins: int) -> tuple[str, str, str]:
    """Return temporary disk; parts and bytes of counts; how long two cores take to download the counts.

    A part holds the rows that are counted in ten seconds, up to a maximum: few on two cores, the maximum on 16.
    """
    fewest, most = (math.ceil(bins / rows) for rows in (PART_ROWS, 2 * figure("plain") * PART_SECONDS))
    at_once = 2 * FETCHES_PER_CORE
    downloading = value_range(
        [duration(fewest * figure("fast") / at_once / 3600), duration(most * figure("slow") / at_once / 3600)]
    )
    return (
        byte_size(bins * figure("disk")),
        f"{fewest:,} – {most:,} parts, {byte_size(bins * figure('count'))}",
        downloading,
    )


def new_photos() -> list[str]:
    """Return the table of runs over 175 million bins in which only some photos are new."""
    rows = []
    for fraction in (0.0, 0.01, 0.05, 1.0):
        new = fraction * SCALES["175 million bins"]
        hours = value_range([duration(new / cores / figure("vnni") / 3600) for cores in (16, 8)])
        rows.append((f"{fraction:.0%}", f"{new:,.0f}", dollars(new * figure("get") / 1e6), hours))
    return table(("new photos", "GET requests", "their cost", "time of one c7i.4xlarge"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]


def dollars(amount: float) -> str:
    """Format an amount: $0.16, $70."""
    return f"${amount:,.0f}" if amount >= 10 else f"${amount:.2f}" if amount >= 0.005 or amount == 0 else "< $0.01"


def byte_size(byte_count: float) -> str:
    """Format a number of bytes: 27 GB, 12.0 TB."""
    if byte_count >= 1e12:
        return f"{byte_count / 1e12:.1f} TB"
    return f"{byte_count / 1e9:,.0f} GB" if byte_count >= 1e9 else f"{byte_count / 1e6:,.0f} MB"


def request_time(requests: float) -> str:
    """Format how long requests take one after another, at the fastest and the slowest S3, in one unit."""
    least, most = requests * figure("fast"), requests * figure("slow")
    unit, seconds = ("h", 3600) if most >= 2 * 3600 else ("min", 60) if most >= 120 else ("s", 1)
    return f"{least / seconds:,.1f} – {most / seconds:,.1f} {unit}"


def duration(hours: float) -> str:
    """Format a duration: 3 s (at least 1), 4 min, 5.1 h."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 60 or hours == 0 else f"{max(1, hours * 3600):.0f} s"


def value_range(ends: list[str]) -> str:
    """Format two ends as a range, or as one value if they are equal."""
    return " – ".join(dict.fromkeys(ends))


TABLES = {"figures": figures, "requests": requests, "machines": machines, "joining": joining, "new photos": new_photos}


def with_tables(page: str) -> str:
    """Return the page with each table between its two marks."""
    for name, lines in TABLES.items():
        marks = re.compile(rf"(<!-- scaling: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if len(marks.findall(page)) != 1:
            raise ValueError(f"{PAGE.name} needs exactly one pair of marks for the table {name}")
        text = "\n".join(lines())
        page = marks.sub(lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print("\n\n".join("\n".join(lines()) for lines in TABLES.values()))
