"""Run `reconcile` in a process that is forked from one with all libraries loaded.

Loading pandas, DuckDB, onnxruntime, Altair and torch takes longer than most tests, so one parent process loads them
once. The forked process runs one command after another, because the JavaScript engine that draws the charts takes a
second to start. Each command has its own exit code, output, environment and working directory. A command that ends its
process, such as one that was interrupted, takes nothing into the next process. A command with an environment of its own
gets a process of its own, because libraries read some variables only once.

A forked process does not show how Python itself starts and ends; `conftest.reconcile_from_scratch` does.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, ForkServerProcess

PRELOADED = [
    "pytest",
    "tests.conftest",
    "reconcile.cli.commands",
    "typer._adapters",
    "reconcile.config",
    "reconcile.doctor.environment",
    "reconcile.evaluation.report",
    "reconcile.evaluation.run",
    "reconcile.output.retention",
    "reconcile.pipeline.context",
    "reconcile.pipeline.rerender",
    "reconcile.pipeline.run",
    "reconcile.reporting.terminal_summary",
    "reconcile.storage.local",
    "reconcile.storage.s3",
    "reconcile.streaming.count_images",
    "reconcile.verdicts.csv_file",
    "reconcile.verdicts.importing",
    "itables",
    "torchvision",
    "tests.preloaded",
]
"""Modules that import every slow library. Missing ones, such as torchvision without `train`, are ignored."""
SECONDS = 300
_MOST_COMMANDS = 50
"""A process is replaced after this number of commands, because its libraries keep some memory."""


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
    global _runner
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        runner = (_runner or _Runner()) if env is None else _Runner()
        code = runner.run(command, str(Path(cwd).resolve()), dict(os.environ if env is None else env), stdout, stderr)
        if env is None:
            _runner = runner if runner.may_continue else None
        if env is not None or not runner.may_continue:
            runner.close()
        if code is None:
            raise subprocess.TimeoutExpired(command, SECONDS)
        return subprocess.CompletedProcess(command, code, stdout.read_text(), stderr.read_text())


class _Runner:
    """A forked process that runs commands one after another.

    Attributes:
        may_continue: whether the process can run another command.
    """

    def __init__(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._process: ForkServerProcess = fork_server().Process(target=_run_scripts, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._commands = 0
        self.may_continue = True

    def run(self, *script: object) -> int | None:
        """Run one command, and return its exit code; None if it does not end in time."""
        self._commands += 1
        self._connection.send(script)
        try:
            if not self._connection.poll(SECONDS):
                self._process.kill()
                self.may_continue = False
                return None
            code = self._connection.recv()
        except (EOFError, ConnectionError):  # the command has ended the process itself
            self._process.join()
            self.may_continue = False
            return self._process.exitcode
        self.may_continue = self._commands < _MOST_COMMANDS
        return code

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


_runner: _Runner | None = None


def _run_scripts(connection: Connection) -> None:
    """Run the console script for each set of arguments that arrives, and answer with its exit code."""
    while True:
        try:
            script = connection.recv()
        except EOFError:
            return
        try:
            _run_script(*script)
        except SystemExit as end:
            if not isinstance(end.code, int):
                raise
            code = end.code
        from reconcile.concurrency import cancellation

        if cancellation.is_requested():  # the next command would stop at once
            sys.exit(code)
        gc.collect()  # what the command has not closed, as at the end of a process
        connection.send(code)


def _run_script(command: list[str], folder: str, environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    """Give this process the state of a new one, and run the console script in it."""
    for descriptor, path in enumerate((stdout, stderr), start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the environment may name another folder
    sys.argv = command
    from reconcile.cli import main

    main()
