"""Measure the overhead of Ray: count the same photos with and without a local Ray, in turns."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from benchmarks.machine import cpu_seconds, row
from reconcile.config import load_settings
from reconcile.engines.local import LocalEngine
from reconcile.engines.ray.engine import RayEngine
from reconcile.inference.counter import load_predictor
from reconcile.inputs.backlog import Backlog
from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.streaming.observers import CallbackObserver

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.machine import Server
    from reconcile.engines.base import Engine

ROUNDS = 5
STARTED = 0.15
"""Fraction of the photos after which the clock starts. By then the actors have loaded their models."""


class _Run(NamedTuple):
    """Measurements of a run after its start-up."""

    rate: float
    """Images per second."""
    cpu_ms: float
    """CPU milliseconds per image, of all processes except the S3 server."""
    first: float
    """Time of the first rows, on the monotonic clock."""


def measure(server: Server, bucket: str, folder: Path) -> list[str]:
    """Measure both engines after their start-up, and the start-up time of Ray."""
    settings = load_settings({"bucket": bucket, "engine": "ray", "device": "cpu"}, flags_only=True)
    alone, with_ray, starts = [], [], []
    for number in range(ROUNDS):
        local = LocalEngine(load_predictor(None, "cpu", print))
        alone.append(_run(local, server, bucket, folder / f"alone-{number}"))
        started = time.monotonic()
        with_ray.append(_run(RayEngine(settings, print), server, bucket, folder / f"ray-{number}"))
        starts.append(with_ray[-1].first - started)
        print(f"round {number + 1}: alone {alone[-1]}, with Ray {with_ray[-1]}", flush=True)
    pairs = list(zip(alone, with_ray, strict=True))
    return [
        f"Ray {version('ray')}, from S3 to Parquet. The two took turns in {ROUNDS} rounds. The clock starts after the "
        f"first {STARTED:.0%} of the photos.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`--engine local`, images per second", [run.rate for run in alone], ".1f"),
        row("`--engine ray` on the same machine, images per second", [run.rate for run in with_ray], ".1f"),
        row("**time with Ray / time without**, in each round", [one.rate / two.rate for one, two in pairs], ".2f"),
        row("CPU ms per image, local", [run.cpu_ms for run in alone], ".1f"),
        row("CPU ms per image, with Ray", [run.cpu_ms for run in with_ray], ".1f"),
        row("their ratio, in each round", [two.cpu_ms / one.cpu_ms for one, two in pairs], ".2f"),
        row("seconds from starting Ray to the first block's rows", starts, ".1f"),
    ]


def _run(engine: Engine, server: Server, bucket: str, out: Path) -> _Run:
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
            past.append((counted, time.monotonic(), cpu_seconds()))

    with duckdb.connect() as database:
        backlog = Backlog(database, "images")
        backlog.fill(pages)
        before = server.cpu_seconds()
        engine.count(backlog, source, output, CallbackObserver(progress, lambda *_: None))
        backlog.close()
    (begun, begin, used), (_, end, used_in_all) = past[0], past[-1]
    images = photos - begun
    served = (server.cpu_seconds() - before) * images / photos  # the server is a child of this process
    return _Run(images / (end - begin), 1000 * (used_in_all - used - served) / images, first)
