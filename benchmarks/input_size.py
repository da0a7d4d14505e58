"""python -m benchmarks.input_size MODEL.onnx …: compare the speed of models with different input sizes on this CPU.

The models take turns. `reconcile export --input-size` makes them, and `reconcile evaluate` measures their accuracy.
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from reconcile.inference.counter import CountPredictor, load_predictor

ROUNDS = 5
IMAGES = 1024
BATCH = 32


def main(paths: list[Path]) -> None:
    """Print a row per model: images per second, and their ratio to the first model."""
    counters = [load_predictor(path, "cpu", print) for path in paths]
    speeds: list[list[float]] = [[] for _ in counters]
    for _ in range(ROUNDS):
        for counter, measured in zip(counters, speeds, strict=True):
            measured.append(images_per_second(counter))
    print("| model | input | images/s | ratio to the first |\n| --- | --- | --- | --- |")
    for counter, measured in zip(counters, speeds, strict=True):
        ratio = statistics.median(own / first for own, first in zip(measured, speeds[0], strict=True))
        size = counter.card.input_size
        print(f"| {counter.path.name} | {size} px | {statistics.median(measured):.0f} | {ratio:.2f} |")


def images_per_second(counter: CountPredictor) -> float:
    """Measure inference alone: every session counts batches of noise."""
    size = counter.card.input_size
    batch = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)

    def work(worker: int) -> None:
        for _ in range(IMAGES // BATCH // counter.workers):
            counter.count(batch, worker)

    with ThreadPoolExecutor(counter.workers) as pool:
        started = time.perf_counter()
        list(pool.map(work, range(counter.workers)))
        return IMAGES / (time.perf_counter() - started)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
