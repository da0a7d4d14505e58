"""A disk that is full or read-only: the run ends with one line, and the next run continues.

The disks are real and small: tmpfs, mounted where no other process sees it (`unshare`).
"""

import errno
import os
import re
import subprocess
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from reconcile.errors import ReconcileError
from reconcile.output.scratch import scratch_folder
from tests.conftest import SCRIPTS, last_line, write_bucket

PHOTOS = 300
NUMBERS = re.compile(r"^Bins +300$", re.MULTILINE)


@pytest.fixture
def warehouse(tmp_path):
    return write_bucket(tmp_path / "w", {f"{n:05d}": (n % 7, n % 7) for n in range(PHOTOS)})


@pytest.fixture
def on_small_disks(tmp_path):
    """Return a function that runs a shell script in which `disk` is an empty folder that can be mounted."""
    (tmp_path / "disk").mkdir()

    def run(script, **variables):
        can = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", tmp_path / "disk"], capture_output=True, text=True
        )
        if can.returncode:
            pytest.skip(f"nothing may be mounted here: {can.stderr.strip()}")
        command = ["unshare", "-rm", "sh", "-euc", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | variables)

    return run


@pytest.fixture
def run_into(warehouse, grey_model):
    """Return a function that makes a shell command: a run that appends to log.txt, numbers.txt and codes.txt."""
    command = f"{SCRIPTS / 'reconcile'} run --bucket {warehouse} --model {grey_model} --out"
    return lambda out: f"{command} {out} 2>>log.txt >>numbers.txt && echo 0 >>codes.txt || echo $? >>codes.txt"


def codes():
    return [int(code) for code in Path("codes.txt").read_text().split()]


def test_full_or_read_only_output_is_one_line(on_small_disks, run_into, tmp_path):
    small = f"""
        mount -t tmpfs -o size=4k none disk
        {run_into("disk/out")}
        find disk -type f >left.txt
        mount -o remount,size=9m,ro disk
        {run_into("disk/out")}
        mount -o remount,size=9m,rw disk
        {run_into("disk/out")}
        cp -r disk/out out
    """
    done = on_small_disks(small)
    assert codes() == [1, 1, 0], Path("log.txt").read_text() + done.stderr
    full, read_only = (line for line in Path("log.txt").read_text().splitlines() if " reconcile: " in line)
    assert f"reconcile: cannot write {tmp_path}/disk/out/counts/grey-" in full
    assert full.endswith(": No space left on device")
    assert f"reconcile: cannot write {tmp_path}/disk/out: " in read_only
    assert read_only.endswith(": Read-only file system")
    assert Path("left.txt").read_text() == "", "no part of a part"
    assert NUMBERS.search(Path("numbers.txt").read_text())
    [part] = (tmp_path / "out" / "counts").rglob("*.parquet")
    assert len(pd.read_parquet(part)) == PHOTOS


def test_full_temporary_folder_is_one_line(on_small_disks, run_into, tmp_path):
    small = f"""
        mount -t tmpfs -o size=40k none disk
        {run_into("out")}
        ls disk >left.txt
        mount -o remount,size=90m disk
        {run_into("out")}
    """
    done = on_small_disks(small, TMPDIR=str(tmp_path / "disk"))
    log = Path("log.txt").read_text()
    assert codes() == [1, 0], log + done.stderr
    [failed] = (line for line in log.splitlines() if " reconcile: " in line)
    assert f"reconcile: no space left in {tmp_path}/disk, which holds the temporary files of a run; free some" in failed
    assert Path("left.txt").read_text() == ""
    assert NUMBERS.search(Path("numbers.txt").read_text())


def test_log_on_a_full_disk_does_not_end_the_run(warehouse, grey_model, tmp_path):
    command = [SCRIPTS / "reconcile", "run", "--bucket", warehouse, "--model", grey_model, "--out", "out"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        failed = subprocess.run([*command, "--images-prefix", "none/"], stdout=full, stderr=full)
    warning = "warning: the figures cannot be printed: No space left on device; summary.json has them"
    assert (done.returncode, last_line(done.stderr)) == (0, warning)
    assert len(list((tmp_path / "out").rglob("summary.json"))) == 1
    assert failed.returncode == 1


def in_a_work_folder(work):
    with scratch_folder() as folder:
        work(folder)


def spill(folder):
    database = duckdb.connect(str(folder / "run.duckdb"))
    database.execute("SET memory_limit = '64MB'; SET max_temp_directory_size = '1MB'; SET threads = 2")
    database.execute("SELECT * FROM (SELECT hash(i)::VARCHAR AS h FROM range(4000000) AS t(i)) ORDER BY h").fetchmany()


def fail_with(error, line):
    """Return work that fails with an error, which a reader or writer reports with its own line."""

    def work(_):
        try:
            raise error
        except type(error):
            raise ReconcileError(line) from None

    return work


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (spill, "no space left in /.*, which holds the temporary files of a run"),
        (fail_with(duckdb.IOException("No space left on device"), "stock.csv cannot be read"), "no space left in /"),
        (fail_with(OSError(errno.ENOSPC, "No space left on device"), "cannot write out"), "cannot write out"),
        (
            fail_with(duckdb.IOException("no Parquet file"), "stock.parquet cannot be read"),
            "stock.parquet cannot be read",
        ),
        (lambda _: duckdb.execute("SELECT nonsense"), r"DuckDB failed: .*nonsense.* \(temporary files: /"),
    ],
)
def test_full_disk_is_distinguished_from_other_errors(work, line):
    with pytest.raises(ReconcileError, match=f"^{line}"):
        in_a_work_folder(work)


def test_scratch_folders_of_killed_runs_are_removed(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    killed = tmp_path / "reconcile-run-killed"
    killed.mkdir()
    (killed / "run.duckdb").write_bytes(b"tables")
    (tmp_path / "reconcile-run-file").write_text("no folder")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reconcile-run-link").symlink_to(tmp_path / "elsewhere")
    with scratch_folder() as one, scratch_folder() as other:
        assert not killed.exists()
        assert one.is_dir()
        assert other.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {"reconcile-run-file", "reconcile-run-link", "elsewhere"}
