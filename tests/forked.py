"""The command in processes that are forked from one that has its libraries loaded already.

Each is a process of its own, with its own exit code, output, environment and working directory. But to start Python
and to load pandas, DuckDB, onnxruntime, Altair and torch takes longer than most of what tests ask of it, and is done
once for all tests. What they cannot show is how Python itself starts and ends; `reconcile_from_scratch` is for that.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

LOADED = [
    "pytest",
    "tests.conftest",
    "reconcile.cli",
    "reconcile.pipeline.run",
    "reconcile.evaluation.run",
    "torchvision",
]
"""What holds all that takes time. What is not there (torchvision, without the extra `train`) is done without."""
SECONDS = 300


def forking() -> ForkServerContext:
    """Starts processes that have the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def run_forked(
    command: list[str], cwd: Path | str = ".", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives back of the console script, with its output as text."""
    with tempfile.TemporaryDirectory() as folder:
        said, told = Path(folder, "stdout"), Path(folder, "stderr")
        arguments = (command, str(Path(cwd).resolve()), dict(os.environ if env is None else env), said, told)
        process = forking().Process(target=_become, args=arguments)
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, SECONDS)
        return subprocess.CompletedProcess(command, process.exitcode, said.read_text(), told.read_text())


def _become(command: list[str], folder: str, environment: dict[str, str], said: Path, told: Path) -> None:
    """Find what a new process finds, and do what the console script does."""
    for descriptor, file in enumerate((said, told), start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it may be another one in this environment
    sys.argv = command
    from reconcile.cli import main

    main()
