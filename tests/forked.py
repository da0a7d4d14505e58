"""Run `reconcile` in a process that is forked from one with all libraries loaded.

Each process has its own exit code, output, environment and working directory. Loading pandas, DuckDB, onnxruntime,
Altair and torch takes longer than most tests, so one parent process loads them once. A forked process does not show how
Python itself starts and ends; `conftest.reconcile_from_scratch` does.
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

PRELOADED = [
    "pytest",
    "tests.conftest",
    "reconcile.cli.commands",
    "reconcile.pipeline.run",
    "reconcile.evaluation.run",
    "torchvision",
]
"""Modules that import every slow library. Missing ones, such as torchvision without `train`, are ignored."""
SECONDS = 300


def fork_server() -> ForkServerContext:
    """Return the context that starts processes with the libraries loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_forked(
    command: list[str], cwd: Path | str = ".", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the console script in a forked process, and return what `subprocess.run` would return.

    Args:
        command: the script and its arguments.
        cwd: the working directory.
        env: the environment; None for the environment of this process.

    Raises:
        subprocess.TimeoutExpired: the process runs longer than 300 seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        arguments = (command, str(Path(cwd).resolve()), dict(os.environ if env is None else env), stdout, stderr)
        process = fork_server().Process(target=_run_script, args=arguments)
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, SECONDS)
        return subprocess.CompletedProcess(command, process.exitcode, stdout.read_text(), stderr.read_text())


def _run_script(command: list[str], folder: str, environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    """Give this process the state of a new one, and run the console script in it."""
    for descriptor, file in enumerate((stdout, stderr), start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the environment may name another folder
    sys.argv = command
    from reconcile.cli import main

    main()
