"""What Ray costs: the same photos counted by this process alone, and by a Ray of this one machine, in turns."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from benchmarks.machine import processor_seconds, row
from reconcile.config import load_settings
from reconcile.engines.local import LocalEngine
from reconcile.engines.ray.engine import RayEngine
from reconcile.inference.counter import load_predictor
from reconcile.inputs.backlog import Backlog
from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.machine import Server
    from reconcile.engines.base import Engine

ROUNDS = 5
STARTED = 0.15
"""Of the photos. The clock starts when so many are counted: by then the actors have loaded their models."""


class _Night(NamedTuple):
    """One run past its start."""

    rate: float
    """Images a second."""
    processor: float
    """Milliseconds of processor time an image, of all processes but the S3 server."""
    first: float
    """When the first rows came, by the clock that does not jump."""


def measure(server: Server, bucket: str, folder: Path) -> list[str]:
    """Both engines past their start, and how long a run with Ray takes until then."""
    settings = load_settings({"bucket": bucket, "engine": "ray", "device": "cpu"}, alone=True)
    alone, with_ray, starts = [], [], []
    for number in range(ROUNDS):
        local = LocalEngine(load_predictor(None, "cpu", print))
        alone.append(_night(local, server, bucket, folder / f"alone-{number}"))
        asked = time.monotonic()
        with_ray.append(_night(RayEngine(settings, print), server, bucket, folder / f"ray-{number}"))
        starts.append(with_ray[-1].first - asked)
        print(f"round {number + 1}: alone {alone[-1]}, with Ray {with_ray[-1]}", flush=True)
    pairs = list(zip(alone, with_ray, strict=True))
    return [
        f"Ray {version('ray')}, from S3 to Parquet; {ROUNDS} rounds in turns, each timed from its first "
        f"{STARTED:.0%} of the photos on.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`--engine local`, images a second", [night.rate for night in alone], ".1f"),
        row("`--engine ray` on the same machine, images a second", [night.rate for night in with_ray], ".1f"),
        row("**time with Ray / time without**, round by round", [one.rate / two.rate for one, two in pairs], ".2f"),
        row("processor time an image, ms: local", [night.processor for night in alone], ".1f"),
        row("processor time an image, ms: with Ray", [night.processor for night in with_ray], ".1f"),
        row("their ratio, round by round", [two.processor / one.processor for one, two in pairs], ".2f"),
        row("seconds from starting Ray to the first block's rows", starts, ".1f"),
    ]


def _night(engine: Engine, server: Server, bucket: str, out: Path) -> _Night:
    access = S3Access(endpoint_url=server.endpoint)
    source, output = open_bucket(f"s3://{bucket}", access), Output(open_bucket(str(out), access, create=True))
    pages = list(source.list_pages("bin-images/"))
    photos, counted = sum(map(len, pages)), 0
    past: list[tuple[int, float, float]] = []
    first = 0.0

    def progress(done: int) -> None:
        nonlocal counted, first
        counted += done
        first = first or time.monotonic()
        if counted >= STARTED * photos:
            past.append((counted, time.monotonic(), processor_seconds()))

    with duckdb.connect() as database:
        backlog = Backlog(database, "images")
        backlog.fill(pages)
        before = server.cpu_seconds()
        engine.count(source, backlog, output, progress, lambda *_: None)
        backlog.close()
    (begun, begin, used), (_, end, used_in_all) = past[0], past[-1]
    images = photos - begun
    served = (server.cpu_seconds() - before) * images / photos  # it is a process that this one started, too
    return _Night(images / (end - begin), 1000 * (used_in_all - used - served) / images, first)
