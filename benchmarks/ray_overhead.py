"""What Ray costs: the same photos counted by this process alone, and by a Ray of this one machine, in turns."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import duckdb

from benchmarks.machine import row
from reconcile.backlog import Backlog
from reconcile.bucket import S3Access, open_bucket
from reconcile.config import load_settings
from reconcile.counter import load_counter
from reconcile.engines.local import LocalEngine
from reconcile.engines.ray_engine import RayEngine
from reconcile.store import Output

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.machine import Server
    from reconcile.engines.engine import Engine

ROUNDS = 5
STARTED = 0.15
"""Of the photos. The clock starts when so many are counted: by then the actors have loaded their models."""


def measure(server: Server, bucket: str, folder: Path) -> list[str]:
    """Images a second of both engines past their start, and how long a run with Ray takes until then."""
    settings = load_settings({"bucket": bucket, "engine": "ray", "device": "cpu"}, alone=True)
    alone, with_ray, starts = [], [], []
    for number in range(ROUNDS):
        local = LocalEngine(load_counter(None, "cpu", print))
        alone.append(_rate(local, server, bucket, folder / f"alone-{number}")[0])
        asked = time.monotonic()
        rate, started = _rate(RayEngine(settings, print), server, bucket, folder / f"ray-{number}")
        with_ray.append(rate)
        starts.append(started - asked)
        print(f"round {number + 1}: alone {alone[-1]:.1f}/s, with Ray {rate:.1f}/s", flush=True)
    return [
        f"Ray {version('ray')}, from S3 to Parquet; {ROUNDS} rounds in turns, each timed from its first "
        f"{STARTED:.0%} of the photos on.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`--engine local`, images a second", alone, ".1f"),
        row("`--engine ray` on the same machine, images a second", with_ray, ".1f"),
        row(
            "time with Ray / time without, round by round",
            [one / other for one, other in zip(alone, with_ray, strict=True)],
            ".2f",
        ),
        row("seconds from starting Ray to the first block's rows", starts, ".1f"),
    ]


def _rate(engine: Engine, server: Server, bucket: str, out: Path) -> tuple[float, float]:
    """Images a second past the start; and when the first were counted, by the clock that does not jump."""
    access = S3Access(endpoint_url=server.endpoint)
    source, output = open_bucket(f"s3://{bucket}", access), Output(open_bucket(str(out), access, create=True))
    pages = list(source.pages("bin-images/"))
    told: list[tuple[float, int]] = []
    with duckdb.connect() as database:
        backlog = Backlog(database, "images")
        backlog.fill(pages)
        engine.count(source, backlog, output, lambda done: told.append((time.monotonic(), done)), lambda *_: None)
        backlog.close()
    photos = sum(map(len, pages))
    counted, past = 0, []
    for moment, done in told:
        counted += done
        if counted >= STARTED * photos:
            past.append((moment, counted))
    (begin, before), (end, _) = past[0], past[-1]
    return (photos - before) / (end - begin), told[0][0]
