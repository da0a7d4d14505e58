"""Images a second: `reconcile run`, the script that people write instead, and what the cores could do at most."""

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
"""Dense fp16 of NVIDIA's data sheet (SXM); two operations for each of the 3.66 billion multiply-adds that torchvision's
documentation gives."""


class _Night(NamedTuple):
    """Images a second of one run."""

    counting: float
    """From the first request to the last Parquet part of counts; records are read meanwhile, where there are any."""
    whole: float
    """Until reconciled.parquet lies there."""
    photos: int


def measure(server: Server, bucket: str, for_script: str, folder: Path) -> list[str]:
    """Against the script, in turns, and against the limit that each stage alone sets.

    Args:
        server: of S3.
        bucket: what reconcile counts.
        for_script: what the script counts: fewer of the same photos, which it is busy with for longer all the same.
        folder: for outputs.
    """
    counter, keys = load_predictor(None, "cpu", print), _keys(server, bucket, folder)
    size, cores = counter.card.input_size, available_cores()
    ours: list[_Night] = []
    theirs: list[float] = []
    costs = []
    for number in range(ROUNDS):
        rate, script_photos = _peer(server, for_script, size)
        theirs.append(rate)
        before = stages.measure(server, bucket, counter)
        ours.append(_night(server, bucket, folder / f"out-{number}", keys))
        costs.append(before.mean_with(stages.measure(server, bucket, counter)))
        print(f"round {number + 1}: script {theirs[-1]:.0f}/s, reconcile {ours[-1].whole:.0f}/s", flush=True)
    whole = [night.whole for night in ours]
    return [
        f"Model {counter.path.name}, {size} px, batches of {counter.batch_size}; {ROUNDS} rounds in turns, over "
        f"{ours[0].photos:,} photos and their records, and {script_photos:,} of the photos by the script. "
        "Neither lists them meanwhile (`--keys`). Each stage alone is measured before and after each run, since cores "
        "with neighbours are faster at one time than at another.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("`reconcile run`, images a second, everything from S3 to reconciled.parquet", whole, ".0f"),
        row(
            "boto3 + Pillow + torchvision + DataLoader, fp32 eager (`benchmarks/torch_baseline.py`), counts alone",
            theirs,
            ".0f",
        ),
        row("ratio, round by round", [one / other for one, other in zip(whole, theirs, strict=True)], ".2f"),
        row(
            "share of the limit",
            [rate / cost.limit(cores, records=True) for rate, cost in zip(whole, costs, strict=True)],
            ".2f",
        ),
        "",
        *_table(costs, cores),
    ]


def measure_feed(server: Server, bucket: str, folder: Path, size: int) -> list[str]:
    """The same with a model that does nothing: how fast the host could feed a GPU."""
    model, records = folder / "null.onnx", folder / "records.csv"
    write_null_model(model, size)
    counter, keys = load_predictor(model, "cpu", print), _keys(server, bucket, folder)
    photos = [line.partition(".")[0] for line in keys.read_text().splitlines() if line.startswith("bin-images/")]
    # A table, so that no records are read meanwhile.
    records.write_text("bin_id,expected_quantity\n" + "".join(f"{Path(photo).name},1\n" for photo in photos))
    cores = available_cores()
    rates, costs = [], []
    for number in range(ROUNDS):
        before = stages.measure(server, bucket, counter)
        night = _night(server, bucket, folder / f"feed-{number}", keys, "--model", model, "--records", records)
        rates.append(night.counting)
        costs.append(before.mean_with(stages.measure(server, bucket, counter)))
        print(f"round {number + 1}: fed {rates[-1]:.0f}/s", flush=True)
    a_core = statistics.median(
        1 / (cost.fetch + cost.decode + cost.count) * rate / cost.limit(cores, records=False)
        for rate, cost in zip(rates, costs, strict=True)
    )
    most = H100_TERAFLOPS * 1000 / (RESNET34_GIGAFLOPS_AT_224 * (size / 224) ** 2)
    return [
        f"The same with a model that returns zeros, {size} px, the S3 server still on the same cores; {ROUNDS} rounds "
        f"of {night.photos:,} photos.",
        "",
        "| | median | lowest – highest |",
        "| --- | --- | --- |",
        row("images a second", rates, ".0f"),
        row(
            "share of the limit",
            [rate / cost.limit(cores, records=False) for rate, cost in zip(rates, costs, strict=True)],
            ".2f",
        ),
        "",
        *_table(costs, cores),
        "",
        f"Where S3 is another machine, that is {a_core:.0f} images a second for each core: a GPU that counts N images "
        f"a second is kept busy by N / {a_core:.0f} cores. What an H100 counts has not been measured. By its data "
        f"sheet ({H100_TERAFLOPS} teraflops of fp16) no more than {most:,.0f} a second at {size} px, and convolutional "
        f"networks reach a fraction of that; at a tenth of it, {most / 10 / a_core:.0f} cores would keep it busy.",
    ]


def _table(costs: list[stages.Costs], cores: int) -> list[str]:
    def line(name: str, values: list[float]) -> str:
        return row(name, [1000 * value for value in values], ".2f")

    return [
        "| each stage alone | CPU ms an image, median | lowest – highest |",
        "| --- | --- | --- |",
        line("fetching", [cost.fetch for cost in costs]),
        line("the S3 server, on the same cores", [cost.serve for cost in costs]),
        line("decoding and squashing", [cost.decode for cost in costs]),
        line(f"the model, {cores} threads at once", [cost.count for cost in costs]),
        line("a record: fetched, served, read", [cost.record for cost in costs]),
    ]


def _keys(server: Server, bucket: str, folder: Path) -> Path:
    """What is in a bucket, for `--keys`.

    rclone looks through all objects for every page of a listing, which would take it as long as serving the photos.
    """
    path = folder / f"{bucket}.csv"
    listed = open_bucket(f"s3://{bucket}", S3Access(endpoint_url=server.endpoint))
    with path.open("w") as file:
        print("key,etag,size,last_modified", file=file)
        for page in listed.list_pages():
            for stored in page:
                print(stored.key, stored.etag, stored.size, stored.modified.isoformat(), sep=",", file=file)
    return path


def _night(server: Server, bucket: str, out: Path, keys: Path, *more: object) -> _Night:
    run_reconcile(
        "run", "--bucket", bucket, "--keys", keys, "--endpoint-url", server.endpoint, "--out", out, "--device", "cpu",
        "--run-id", "bench", "--max-unreadable", "100%", *more,
    )  # fmt: skip
    summary = json.loads((out / "runs/bench/summary.json").read_text())
    seconds = summary["seconds"]
    whole = max(seconds["count"], seconds.get("records", 0)) + seconds["reconcile"]  # both begin at once
    return _Night(summary["images_per_second"], summary["images"] / whole, summary["images"])


def _peer(server: Server, bucket: str, size: int) -> tuple[float, int]:
    """Images a second of the script, from the first it asks for to its last count; and how many these were."""
    command = [sys.executable, "-m", "benchmarks.torch_baseline", server.endpoint, bucket, str(size)]
    images, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(images) / float(seconds), int(images)
