"""Standard streams that are closed, full or broken, and Python options that remove docstrings."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SCRIPTS, last_line, write_bucket

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
NO_SPACE = "reconcile: standard output cannot be written: No space left on device"


@pytest.fixture
def shell():
    """Return a function that runs `reconcile` in a new process by a line of sh."""

    def run(line, **variables):
        command = f"{SCRIPTS / 'reconcile'} {line}"
        environment = ENVIRONMENT | {"COLUMNS": "120"} | {k: v for k, v in os.environ.items() if k.startswith("AWS")}
        return subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=300, check=False, env=environment | variables
        )

    return run


@pytest.fixture
def run_command(grey_model, tmp_path):
    """Return the arguments of a run over three bins."""
    bucket = write_bucket(tmp_path / "w", {"1": (1, 1), "2": (2, 2), "3": (3, 4)})
    return f"run --bucket {bucket} --model {grey_model} --out {tmp_path}/out"


def run_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "out" / "runs").glob("*/*"))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_run_with_closed_streams_writes_its_results(shell, run_command, tmp_path, closed):
    done = shell(f"{run_command} {closed}")
    assert done.returncode == 0, done.stderr
    assert run_files(tmp_path) == ["reconciled.parquet", "recount.csv", "report.html", "summary.json"]
    for path in (tmp_path / "out").rglob("*.parquet"):  # no line for a person went into a file
        data = path.read_bytes()
        assert (data[:4], data[-4:]) == (b"PAR1", b"PAR1")
    assert ("Report" in done.stdout) == (closed == "<&-")


@pytest.mark.parametrize("full", [">/dev/full", "2>/dev/full", ">/dev/full 2>&1"])
def test_run_with_full_streams_keeps_its_exit_code(shell, run_command, tmp_path, full):
    done = shell(f"{run_command} {full}")
    assert done.returncode == 0, done.stderr
    assert "summary.json" in run_files(tmp_path)
    if full == ">/dev/full":
        assert last_line(done.stderr).startswith("warning: the figures cannot be printed: No space left on device")


@pytest.mark.parametrize("command", ["--version", "--help", "verdicts list --out out", "doctor"])
def test_command_that_cannot_print_ends_with_one_line(shell, tmp_path, command):
    (tmp_path / "out").mkdir()
    for variables in ({}, {"PYTHONUNBUFFERED": "1"}):
        done = shell(f"{command} >/dev/full", **variables)
        assert (done.returncode, done.stderr.splitlines()) == (1, [NO_SPACE])


def test_reader_that_ends_early_is_reported_in_one_line(shell):
    done = shell("doctor | true")
    assert done.stderr.splitlines() == ["reconcile: standard output cannot be written: Broken pipe"]


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-"])
def test_wrong_usage_keeps_its_exit_code_without_standard_error(shell, stream):
    assert shell(f"nonsense {stream}").returncode == 2


def test_question_without_standard_input_is_refused(shell, run_command, tmp_path):
    for number in (1, 2):
        assert shell(f"{run_command} --run-id r{number}").returncode == 0
    done = shell(f"prune --keep 1 --out {tmp_path}/out <&-")
    assert done.returncode == 2
    assert "nothing was removed: " in done.stderr


def test_run_without_docstrings_writes_its_report(shell, run_command, tmp_path):
    done = shell(run_command, PYTHONOPTIMIZE="2")
    assert done.returncode == 0, done.stderr
    assert "report.html" in run_files(tmp_path)
    script = Path(SCRIPTS / "reconcile")
    done = subprocess.run(
        [SCRIPTS / "python", "-OO", script, "--version"], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (done.returncode, done.stdout[:10], done.stderr) == (0, "reconcile ", "")
    done = subprocess.run([SCRIPTS / "python", "-OOs", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("reconcile: Python's option -OO removes docstrings")
