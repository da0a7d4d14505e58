"""Measure each stage of counting alone: CPU seconds per image, of this process and of the S3 server.

Each stage uses all cores at the same time, because threads of one physical core, and cores that share a cache, slow
each other down.

The sum of the stages gives the limit of a run. However well the stages overlap,

    images per second ≤ cores / Σ CPU seconds per image of every stage

A run that reaches a large fraction of this limit overlaps its stages well.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from reconcile.concurrency.cpu import available_cores, fetches_in_flight
from reconcile.images import load_image
from reconcile.inputs.records_json import parse_abid_record
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.machine import Server
    from reconcile.inference.counter import CountPredictor


@dataclass(frozen=True)
class Costs:
    """CPU seconds per image."""

    fetch: float
    serve: float
    """CPU seconds of the S3 server, which runs on the same cores."""
    decode: float
    count: float
    """CPU seconds of the model, with all sessions active at the same time, as in a run."""
    record: float
    """CPU seconds to fetch and parse the record, including those of the S3 server."""

    def mean_with(self, other: Costs) -> Costs:
        """Return the mean of two measurements, stage by stage."""
        return Costs(*((one + two) / 2 for one, two in zip(astuple(self), astuple(other), strict=True)))

    def limit(self, cores: int, *, records: bool) -> float:
        """Return the images per second that `cores` cannot exceed.

        Args:
            cores: number of cores of the machine.
            records: whether the record of each image is read too.
        """
        work = self.fetch + self.serve + self.decode + self.count + (self.record if records else 0)
        return cores / work


def measure(server: Server, bucket_name: str, counter: CountPredictor) -> Costs:
    """Measure each stage alone, over all photos of a bucket."""
    bucket = open_bucket(bucket_name, S3Access(endpoint_url=server.endpoint))
    photos = [stored for page in bucket.list_pages("bin-images/") for stored in page]
    records = [stored for page in bucket.list_pages("metadata/") for stored in page]
    data: list[bytes] = []
    fetch, serve = _measure_fetching(
        server, [lambda stored=stored: data.append(bucket.get(stored.key, stored.etag)) for stored in photos]
    )
    texts: list[bytes] = []
    record, record_serve = _measure_fetching(
        server, [lambda stored=stored: texts.append(bucket.get(stored.key, stored.etag)) for stored in records]
    )
    size, batch, cores = counter.card.input_size, counter.new_batch(), available_cores()

    def decode_some(worker: int) -> None:
        own = counter.new_batch()
        for number, content in enumerate(data[worker::cores]):
            load_image(content, size, out=own[number % len(own)])

    def decode() -> None:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(decode_some, range(cores)))

    def read() -> None:
        for text in texts:
            try:
                parse_abid_record(text)
            except ValueError:  # some drawn records are broken on purpose
                continue

    rounds = max(1, len(data) // (len(batch) * counter.workers))

    def count() -> None:
        with ThreadPoolExecutor(counter.workers) as pool:
            list(pool.map(lambda worker: [counter.count(batch, worker) for _ in range(rounds)], range(counter.workers)))

    return Costs(
        fetch=fetch / len(photos),
        serve=serve / len(photos),
        decode=_cpu_seconds(decode) / len(photos),
        count=_cpu_seconds(count) / (rounds * counter.workers * len(batch)),
        record=(record + record_serve + _cpu_seconds(read)) / len(records),
    )


def _measure_fetching(server: Server, fetches: list[Callable[[], None]]) -> tuple[float, float]:
    """Return the CPU seconds of this process and of the server, with as many fetches in flight as in a run."""
    left, lock = iter(fetches), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                fetch = next(left, None)
            if fetch is None:
                return
            fetch()

    def fetch_all() -> None:
        threads = [threading.Thread(target=work) for _ in range(fetches_in_flight())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    before = server.cpu_seconds()
    ours = _cpu_seconds(fetch_all)
    return ours, server.cpu_seconds() - before


def _cpu_seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
