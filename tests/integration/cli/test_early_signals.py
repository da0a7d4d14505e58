"""Signals in the first seconds of a process, while it imports its libraries."""

import os
import signal
import subprocess
import time

import pytest

from reconcile.cli.startup import STOPPED
from tests.conftest import SCRIPTS, write_bucket

SLOW_MODULE = """
import pathlib, time
pathlib.Path({marker!r}).touch()
time.sleep(60)
"""


@pytest.fixture
def stopped_while_importing(tmp_path, grey_model):
    """Return a function that sends a signal to a run while it imports a module, and returns the run's output."""
    bucket = write_bucket(tmp_path / "w", {"1": (1, 1)})

    def stop(module, number):
        folder, marker = tmp_path / "slow", tmp_path / "marker"
        folder.mkdir()
        (folder / f"{module}.py").write_text(SLOW_MODULE.format(marker=str(marker)))
        process = subprocess.Popen(
            [SCRIPTS / "reconcile", "run", "--bucket", bucket, "--model", grey_model],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )  # fmt: skip
        while not marker.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(number)
        output, log = process.communicate(timeout=30)
        return process.returncode, output, log

    return stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["typer", "pydantic", "duckdb", "onnxruntime"])
def test_signal_during_an_import_ends_the_run_with_one_line(stopped_while_importing, module, number):
    code, output, log = stopped_while_importing(module, number)
    assert (code, output) == (130, "")
    [line] = log.splitlines()
    assert f"reconcile: {STOPPED}" in line
