"""The tables of docs/explanation/scaling.md: what one warehouse, a hundred, and 175 million bins a night need.

    python -m benchmarks.scaling

writes them into that page and prints them. Nothing is measured here: what they stand on is in
scaling_figures.py.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scaling_figures import FIGURES, known
from reconcile.concurrency.cpu import FETCHES_A_CORE, MOST_FETCHES
from reconcile.streaming.write_parts import PART_ROWS, PART_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "scaling.md"
NIGHT_SECONDS = 6 * 3600
SCALES = {"1 warehouse": 388_861, "100 warehouses": 38_886_100, "175 million bins": 175_000_000}
FLOPS_OF_RESNET50 = 4.089 / 3.664 * (224 / 160) ** 2  # torchvision's GFLOPS of ResNet50 and 34, at 224 px; ours has 160


def figures() -> list[str]:
    """Every number that the other tables stand on."""
    rows = [(one.what, f"{one.value:,}", one.source) for one in FIGURES.values()]
    return table(("figure", "value", "source"), rows)


def requests() -> list[str]:
    """What S3 is asked for, and what it takes for it."""
    get, listing = known("get") / 1e6, known("list") / known("page") / 1e6
    a_night = known("gets") * NIGHT_SECONDS
    cells: dict[str, Callable[[int], str]] = {
        "bytes of photos": lambda bins: size(bins * known("photo")),
        "GET of photos": lambda bins: f"{bins:,}, {dollars(bins * get)}",
        "GET with JSON records too": lambda bins: f"{2 * bins:,}, {dollars(2 * bins * get)}",
        "photos a second, in six hours": lambda bins: f"{bins / NIGHT_SECONDS:,.0f}",
        "prefixes that takes, at least": lambda bins: f"{math.ceil(bins / a_night)}",
        "with JSON records": lambda bins: f"{math.ceil(2 * bins / a_night)}",
        "LIST of photos": lambda bins: f"{math.ceil(bins / known('page')):,}, {dollars(bins * listing)}",
        "one LIST after another takes": lambda bins: waiting(bins / known("page")),
        "an S3 Inventory of the photos instead": lambda bins: dollars(bins * known("inventory") / 1e6),
        "reading it takes": lambda bins: lasting(bins / 1e6 * known("keys") / 3600),
    }
    rows = [(what, *(cell(bins) for bins in SCALES.values())) for what, cell in cells.items()]
    return table(("a night in which every photo is new", *SCALES), rows)


def machines() -> list[str]:
    """Who counts, how fast, and what it costs when every photo is new."""
    plain, feed, gpu = known("plain"), known("feed"), known("t4") * FLOPS_OF_RESNET50
    speeds = {
        "c7i.4xlarge": rate(16, 8 * known("vnni"), 16 * known("vnni")),
        "g4dn.xlarge": rate(4, min(gpu, 2 * feed), min(gpu, 4 * feed)),
    }
    rows = [("two cores without VNNI, measured", *counting((2 * plain, 2 * plain), None))]
    rows += [(f"EC2 {machine}", *counting(speed, machine)) for machine, speed in speeds.items()]
    for name, prices in (("serve", "ml."), ("ray", "")):
        share = known(name) / (2 * plain)
        for machine, (least, most) in speeds.items():
            cells = counting((least * share, most * share), prices + machine)
            rows.append((f"{'SageMaker' if prices else 'Ray on'} {prices}{machine}", *cells))
    return table(("machine", "images/s of one", *SCALES), rows)


def rate(vcpus: int, least: float, most: float) -> tuple[float, float]:
    """Images a second of a machine: no more than its fetches in flight bring, at the slowest and the fastest S3."""
    in_flight = min(FETCHES_A_CORE * vcpus, MOST_FETCHES)
    return min(least, in_flight / known("slow")), min(most, in_flight / known("fast"))


def counting(speed: tuple[float, float], price: str | None) -> tuple[str, ...]:
    """Images a second; for each scale, machines that do it in six hours, hours of all of them together, and dollars."""
    cells = []
    for bins in SCALES.values():
        hours = [bins / images / 3600 for images in reversed(speed)]
        number = between([f"{math.ceil(one * 3600 / NIGHT_SECONDS)}" for one in hours])
        cost = "" if price is None else "; " + between([dollars(one * known(price)) for one in hours])
        cells.append(f"{number}; {between([lasting(one) for one in hours])}{cost}")
    return between([f"{one:,.0f}" for one in speed]), *cells


def joining() -> list[str]:
    """From counts and a table of records to the report: a process for each warehouse, or one for all."""
    one = (f"{known('join one')} s", f"{known('memory one'):.0f} MB", *disk_and_parts(SCALES["1 warehouse"]))
    rows = [("an `<out>` and a process for each warehouse", *one)]
    for name in ("100 warehouses", "175 million bins"):
        join = (lasting(SCALES[name] / 1e6 * known("join 20") / 3600), f"{known('memory 20'):,.0f} MB at 20 million")
        rows.append((f"one for all: {name}", *join, *disk_and_parts(SCALES[name])))
    return table(("", "each takes", "memory", "temporary disk", "its counts", "to bring them from S3"), rows)


def disk_and_parts(bins: int) -> tuple[str, str, str]:
    """Temporary disk; parts and bytes of counts; how long two cores take to bring these from S3.

    A part has as many rows as are counted in ten seconds, up to a number: few on two cores, as many as may be on 16.
    """
    fewest, most = (math.ceil(bins / rows) for rows in (PART_ROWS, 2 * known("plain") * PART_SECONDS))
    at_once = 2 * FETCHES_A_CORE
    bringing = between(
        [lasting(fewest * known("fast") / at_once / 3600), lasting(most * known("slow") / at_once / 3600)]
    )
    return size(bins * known("disk")), f"{fewest:,} – {most:,} parts, {size(bins * known('count'))}", bringing


def quiet() -> list[str]:
    """175 million bins, of which only some photos are new."""
    rows = []
    for share in (0.0, 0.01, 0.05, 1.0):
        new = share * SCALES["175 million bins"]
        hours = between([lasting(new / cores / known("vnni") / 3600) for cores in (16, 8)])
        rows.append((f"{share:.0%}", f"{new:,.0f}", dollars(new * known("get") / 1e6), hours))
    return table(("new photos", "GET", "$ for them", "one c7i.4xlarge takes"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]


def dollars(amount: float) -> str:
    """$0.16, $70."""
    return f"${amount:,.0f}" if amount >= 10 else f"${amount:.2f}" if amount >= 0.005 or amount == 0 else "< $0.01"


def size(byte_count: float) -> str:
    """27 GB, 12.0 TB."""
    if byte_count >= 1e12:
        return f"{byte_count / 1e12:.1f} TB"
    return f"{byte_count / 1e9:,.0f} GB" if byte_count >= 1e9 else f"{byte_count / 1e6:,.0f} MB"


def waiting(requests: float) -> str:
    """How long so many take one after another, from the fastest to the slowest S3, in a unit that fits the longer."""
    least, most = requests * known("fast"), requests * known("slow")
    unit, seconds = ("h", 3600) if most >= 2 * 3600 else ("min", 60) if most >= 120 else ("s", 1)
    return f"{least / seconds:,.1f} – {most / seconds:,.1f} {unit}"


def lasting(hours: float) -> str:
    """3 s (at least 1), 4 min, 5.1 h."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 60 or hours == 0 else f"{max(1, hours * 3600):.0f} s"


def between(ends: list[str]) -> str:
    """From one to the other, where they differ."""
    return " – ".join(dict.fromkeys(ends))


TABLES = {"figures": figures, "requests": requests, "machines": machines, "joining": joining, "quiet": quiet}


def with_tables(page: str) -> str:
    """The page with each table put between its two marks."""
    for name, lines in TABLES.items():
        marks = re.compile(rf"(<!-- scaling: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if len(marks.findall(page)) != 1:
            raise ValueError(f"{PAGE.name} has not one place for the table {name}")
        text = "\n".join(lines())
        page = marks.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print("\n\n".join("\n".join(lines()) for lines in TABLES.values()))
