"""`make bench`: reconcile beside the script that people write instead, over the same S3 server, in turns.

Writes benchmarks/RESULTS.md. The photos are drawings, so that anybody can run it: what they show does not matter to
speed, their size does.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from reconcile.counter import load_counter
from reconcile.sample import write_sample_bucket

ROUNDS = 5
BINS = 1000
SCRIPTS = Path(sys.executable).parent
KEYS = {"AWS_ACCESS_KEY_ID": "BENCHACCESSKEY00", "AWS_SECRET_ACCESS_KEY": "bench-secret-key-that-is-long"}


def main() -> None:
    """Measure in turns, print and write the medians."""
    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sample_bucket(folder / "s3" / "sample", BINS)
        for photo in (folder / "s3" / "sample" / "bin-images").iterdir():
            if not photo.read_bytes().startswith(b"\xff\xd8") or photo.name == "00110.jpg":
                photo.unlink()  # the script would end at the first broken photo
        server, endpoint = serve(folder / "s3")
        try:
            counter = load_counter(None, "cpu", print)
            ours, theirs = [], []
            for number in range(ROUNDS):
                theirs.append(peer(endpoint, counter.card.input_size))
                ours.append(reconcile(endpoint, folder / f"out-{number}"))
                print(f"round {number + 1}: script {theirs[-1]:.0f}/s, reconcile {ours[-1]:.0f}/s", flush=True)
            small, large = (peak_memory(folder, copies) for copies in (1, 10))
        finally:
            server.terminate()
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    text = results(counter.path.name, counter.card.input_size, ours, theirs, ratios, small, large)
    (Path(__file__).parent / "RESULTS.md").write_text(text)
    print(text)


def serve(root: Path) -> tuple[subprocess.Popen[bytes], str]:
    """rclone as S3 server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = ",".join(KEYS.values())
    command = [SCRIPTS / "rclone", "serve", "s3", root, "--addr", f"127.0.0.1:{port}", "--auth-key", keys]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(2)
    return server, f"http://127.0.0.1:{port}"


def peer(endpoint: str, size: int) -> float:
    """Images a second of the script."""
    command = [sys.executable, "-m", "benchmarks.peer", endpoint, "sample", str(size)]
    images, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(images) / float(seconds)


def reconcile(endpoint: str, out: Path) -> float:
    """Images a second of the counting stage of `reconcile run`: from the first request to the last Parquet part."""
    command = [SCRIPTS / "reconcile", "run", "--bucket", "sample", "--endpoint-url", endpoint, "--out", out]
    command += ["--device", "cpu", "--run-id", "bench", "--max-unreadable", "100%"]
    subprocess.run(command, check=True, capture_output=True)
    return float(json.loads((out / "runs/bench/summary.json").read_text())["images_per_second"])


def peak_memory(folder: Path, copies: int) -> tuple[int, float]:
    """How many photos a run over `copies` copies of the sample had, and the most memory it held, in MB."""
    bucket = folder / f"copies-{copies}"
    for copy in range(copies):
        for path in (folder / "s3" / "sample").rglob("*.*"):
            target = bucket / path.parent.name / f"{copy:02d}-{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
    command = [str(SCRIPTS / "reconcile"), "run", "--bucket", str(bucket), "--out", str(folder / f"memory-{copies}")]
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return len(list((bucket / "bin-images").iterdir())), usage.ru_maxrss / 1024


def results(
    model: str,
    size: int,
    ours: list[float],
    theirs: list[float],
    ratios: list[float],
    small: tuple[int, float],
    large: tuple[int, float],
) -> str:
    """The page of results."""

    def row(name: str, values: list[float], form: str) -> str:
        return f"| {name} | {statistics.median(values):{form}} | {min(values):{form}} – {max(values):{form}} |"

    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("onnxruntime-gpu", "obstore", "simplejpeg", "torch", "boto3")
    )
    return "\n".join(
        [
            "# Results",
            "",
            f"`make bench`, {time.strftime('%Y-%m-%d')}: {BINS:,} drawn photos of 448 x 352 pixels, {ROUNDS} rounds in "
            f"turns, one S3 server (rclone) on the same {os.cpu_count()} cores ({cpu()}).",
            f"Model {model}, {size} px, batches of 32. {libraries}, Python {platform.python_version()}.",
            "",
            "| | median | lowest – highest |",
            "| --- | --- | --- |",
            row("`reconcile run`, images a second, fetching to Parquet", ours, ".0f"),
            row(
                "boto3 + Pillow + torchvision + DataLoader, fp32 eager (`benchmarks/peer.py`), images a second",
                theirs,
                ".0f",
            ),
            row("ratio, round by round", ratios, ".1f"),
            "",
            f"Peak memory of a whole run: {small[1]:.0f} MB over {small[0]:,} photos, {large[1]:.0f} MB over "
            f"{large[0]:,} (once each).",
            "",
        ]
    )


def cpu() -> str:
    """The processor's name as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
