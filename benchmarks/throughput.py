"""Compare the images per second of `reconcile run` with a typical script, and with the limit of the cores."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import stages
from benchmarks.machine import row, run_reconcile
from benchmarks.null_model import write_null_model
from reconcile.concurrency.cpu import available_cores
from reconcile.inference.counter import load_predictor
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from benchmarks.machine import Server

ROUNDS = 3
H100_TERAFLOPS, RESNET34_GIGAFLOPS_AT_224 = 989, 7.3
"""Dense fp16 of NVIDIA's data sheet (SXM). Two operations for each of the 3.66 billion multiply-adds that the
documentation of torchvision states."""


class _Speed(NamedTuple):
    """Images per second of one run."""

    counting: float
    """From the first request to the last Parquet part of counts. JSON records are read at the same time."""
    whole: float
    """From the first request until reconciled.parquet is written."""
    photos: int


def measure(server: Server, bucket: str, for_script: str, folder: Path) -> list[str]:
    """Compare reconcile with the script, which take turns, and with the limit that the stages set.

    Args:
        server: the S3 server.
        bucket: the bucket that reconcile counts.
        for_script: the bucket that the script counts. It has fewer photos, because the script is slower.
        folder: folder for outputs.
    """
    counter, keys = load_predictor(None, "cpu", print), _keys(server, bucket, folder)
    size, cores = counter.card.input_size, available_cores()
    ours: list[_Speed] = []
    theirs: list[float] = []
    costs = []
    for number in range(ROUNDS):
        rate, script_photos = _script(server, for_script, size)
        theirs.append(rate)
        before = stages.measure(server, bucket, counter)
        ours.append(_run(server, bucket, folder / f"out-{number}", keys))
        costs.append(before.mean_with(stages.measure(server, bucket, counter)))
        print(f"round {number + 1}: script {theirs[-1]:.0f}/s, reconcile {ours[-1].whole:.0f}/s", flush=True)
    whole = [speed.whole for speed in ours]
    return [
        f"Model {counter.path.name}, {size} px, batches of {counter.batch_size}. The two took turns in {ROUNDS} "
        f"rounds. reconcile counted {ours[0].photos:,} photos and read their records. The script counted "
        f"{script_photos:,} of the photos. The time excludes the listing (`--keys`). Each stage was measured alone "
        "before and after each run, because the speed of a shared host changes.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`reconcile run`, images per second, everything from S3 to reconciled.parquet", whole, ".0f"),
        row(
            "boto3 + Pillow + torchvision + DataLoader, fp32 eager (`benchmarks/torch_baseline.py`), counts only",
            theirs,
            ".0f",
        ),
        row("ratio in each round", [one / other for one, other in zip(whole, theirs, strict=True)], ".2f"),
        row(
            "fraction of the limit",
            [rate / cost.limit(cores, records=True) for rate, cost in zip(whole, costs, strict=True)],
            ".2f",
        ),
        "",
        *_table(costs, cores),
    ]


def measure_feed(server: Server, bucket: str, folder: Path, size: int) -> list[str]:
    """Measure how fast the host can feed a GPU: run with a model that does nothing."""
    model, records = folder / "null.onnx", folder / "records.csv"
    write_null_model(model, size)
    counter, keys = load_predictor(model, "cpu", print), _keys(server, bucket, folder)
    photos = [line.partition(".")[0] for line in keys.read_text().splitlines() if line.startswith("bin-images/")]
    # With a table of records, no JSON records are read at the same time.
    records.write_text("bin_id,expected_quantity\n" + "".join(f"{Path(photo).name},1\n" for photo in photos))
    cores = available_cores()
    rates, costs = [], []
    for number in range(ROUNDS):
        before = stages.measure(server, bucket, counter)
        speed = _run(server, bucket, folder / f"feed-{number}", keys, "--model", model, "--records", records)
        rates.append(speed.counting)
        costs.append(before.mean_with(stages.measure(server, bucket, counter)))
        print(f"round {number + 1}: fed {rates[-1]:.0f}/s", flush=True)
    per_core = statistics.median(
        1 / (cost.fetch + cost.decode + cost.count) * rate / cost.limit(cores, records=False)
        for rate, cost in zip(rates, costs, strict=True)
    )
    most = H100_TERAFLOPS * 1000 / (RESNET34_GIGAFLOPS_AT_224 * (size / 224) ** 2)
    return [
        f"The same with a model that returns zeros, {size} px, with the S3 server on the same cores. {ROUNDS} rounds "
        f"of {speed.photos:,} photos.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("images per second", rates, ".0f"),
        row(
            "fraction of the limit",
            [rate / cost.limit(cores, records=False) for rate, cost in zip(rates, costs, strict=True)],
            ".2f",
        ),
        "",
        *_table(costs, cores),
        "",
        f"If S3 runs on another machine, each core feeds {per_core:.0f} images per second. So N / {per_core:.0f} cores "
        "keep a GPU busy that counts N images per second. We have not measured an H100. By its data sheet "
        f"({H100_TERAFLOPS} teraflops of fp16) it counts at most {most:,.0f} images per second at {size} px. "
        "Convolutional networks reach a fraction of that. At a tenth of it, "
        f"{most / 10 / per_core:.0f} cores would keep it busy.",
    ]


def _table(costs: list[stages.Costs], cores: int) -> list[str]:
    def line(name: str, values: list[float]) -> str:
        return row(name, [1000 * value for value in values], ".2f")

    return [
        "| each stage alone | CPU ms per image, median | lowest – highest |",
        "| --- | --- | --- |",
        line("fetching", [cost.fetch for cost in costs]),
        line("the S3 server, on the same cores", [cost.serve for cost in costs]),
        line("decoding and resizing", [cost.decode for cost in costs]),
        line(f"the model, in {cores} threads", [cost.count for cost in costs]),
        line("a record: fetching, serving, parsing", [cost.record for cost in costs]),
    ]


def _keys(server: Server, bucket: str, folder: Path) -> Path:
    """Write a list of a bucket's objects for `--keys`.

    rclone scans all objects for every page of a listing. A listing would take as long as serving the photos.
    """
    path = folder / f"{bucket}.csv"
    listed = open_bucket(f"s3://{bucket}", S3Access(endpoint_url=server.endpoint))
    with path.open("w") as file:
        print("key,etag,size,last_modified", file=file)
        for page in listed.list_pages():
            for stored in page:
                print(stored.key, stored.etag, stored.size, stored.modified.isoformat(), sep=",", file=file)
    return path


def _run(server: Server, bucket: str, out: Path, keys: Path, *more: object) -> _Speed:
    run_reconcile(
        "run", "--bucket", bucket, "--keys", keys, "--endpoint-url", server.endpoint, "--out", out, "--device", "cpu",
        "--run-id", "bench", "--max-unreadable", "100%", *more,
    )  # fmt: skip
    summary = json.loads((out / "runs/bench/summary.json").read_text())
    seconds = summary["seconds"]
    whole = max(seconds["count"], seconds.get("records", 0)) + seconds["reconcile"]  # both start at the same time
    return _Speed(summary["images_per_second"], summary["images"] / whole, summary["images"])


def _script(server: Server, bucket: str, size: int) -> tuple[float, int]:
    """Return the images per second of the script, from its first request to its last count, and their number."""
    command = [sys.executable, "-m", "benchmarks.torch_baseline", server.endpoint, bucket, str(size)]
    images, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(images) / float(seconds), int(images)
