"""Folders of a local bucket that cannot be read, and files with unusable times: a run says so and goes on."""

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from reconcile.errors import ReconcileError
from reconcile.inputs.pages import as_table
from reconcile.storage.base import UNKNOWN_TIME, S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import SCRIPTS, grey_photo, reconcile, write_bucket

AFTER_9999, BEFORE_1970 = 253_402_300_801, -86_400


@pytest.fixture
def without_privileges():
    """Return a function that runs `reconcile` as a user whom permissions bind. They do not bind root."""
    prefix = []
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed, and permissions do not bind root")
        powers = "-dac_override,-dac_read_search"
        prefix = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]

    def run(*arguments):
        command = [*prefix, SCRIPTS / "reconcile", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def warehouse(tmp_path):
    """Return a bucket with an unreadable folder and a folder that can be listed but not entered."""
    bucket = write_bucket(tmp_path / "w", {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4)})
    photos = bucket / "bin-images"
    for folder, mode, name in (("closed", 0o000, "3.jpg"), ("listed", 0o444, "4.jpg")):
        (photos / folder).mkdir()
        (photos / name).rename(photos / folder / name)
        (photos / folder).chmod(mode)
    yield bucket
    for folder in ("closed", "listed"):
        (photos / folder).chmod(0o755)


def test_run_leaves_out_an_unreadable_folder_with_a_warning(without_privileges, warehouse, grey_model, tmp_path):
    done = without_privileges(
        "run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--max-unreadable", "50%"
    )
    assert done.returncode == 0, done.stderr
    closed = warehouse / "bin-images" / "closed"
    assert f"warning: the folder {closed} cannot be read, so its files are left out: Permission denied" in done.stderr
    [path] = (tmp_path / "out").rglob("reconciled.parquet")
    rows = pd.read_parquet(path).set_index("bin_id")
    assert dict(rows["status"]) == {"1": "match", "2": "match", "3": "no_image", "4": "unreadable_image"}
    assert rows.loc["4", "reason"] == "the file cannot be read: Permission denied"


def test_doctor_names_an_unreadable_folder(without_privileges, warehouse, grey_model):
    done = without_privileges("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    [line] = [line for line in done.stdout.splitlines() if "closed" in line]
    assert line.startswith("?     bucket     the folder ")


def test_results_in_an_unreadable_folder_end_the_command(without_privileges, tmp_path):
    (tmp_path / "out" / "verdicts" / "closed").mkdir(parents=True)
    (tmp_path / "out" / "verdicts" / "closed").chmod(0o000)
    done = without_privileges("verdicts", "list", "--out", "out")
    (tmp_path / "out" / "verdicts" / "closed").chmod(0o755)
    assert done.returncode == 1
    assert done.stderr == f"reconcile: cannot list {tmp_path}/out/verdicts/closed: Permission denied\n"


def test_unreadable_top_folder_is_an_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ReconcileError, match=r"cannot list .*: Permission denied"):
        list(open_bucket(str(tmp_path), S3Access(), warn=print).list_pages())


def test_only_the_first_unreadable_folders_are_named(tmp_path, monkeypatch):
    for number in range(23):
        (tmp_path / f"{number:02d}").mkdir()
    scandir, warnings = os.scandir, []

    def refuse(path):
        if Path(path) == tmp_path:
            return scandir(path)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(open_bucket(str(tmp_path), S3Access(), warn=warnings.append).list_pages()) == []
    assert len(warnings) == 21
    assert warnings[-1] == "3 more folders cannot be read and are left out"


@pytest.fixture
def roomy_disk():
    """Return a folder on a disk that can store any time, such as tmpfs."""
    if not Path("/dev/shm").is_dir():
        pytest.skip("there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("time", [AFTER_9999, BEFORE_1970, 2**40])
def test_unusable_file_time_counts_as_unknown(roomy_disk, time):
    for name, its_time in (("1.jpg", time), ("2.jpg", 1_700_000_000), ("3.jpg", 0)):
        (roomy_disk / name).write_bytes(grey_photo(1))
        os.utime(roomy_disk / name, (its_time, its_time))
    warnings = []
    [page] = open_bucket(str(roomy_disk), S3Access(), warn=warnings.append).list_pages()
    known = [datetime.fromtimestamp(1_700_000_000, UTC), datetime.fromtimestamp(0, UTC)]
    assert [stored.modified for stored in page] == [UNKNOWN_TIME, *known]
    assert as_table(page)["modified"].to_pylist() == [None, *known]
    assert warnings == [
        f"1 file has a time before 1970 or after 9999, such as {roomy_disk}/1.jpg; reconcile treats the time as unknown"
    ]


def test_run_with_unusable_file_times_compares_every_bin(roomy_disk, grey_model, tmp_path):
    bucket = write_bucket(roomy_disk / "w", {"1": (1, 1), "2": (2, 3), "3": (3, 3)})
    os.utime(bucket / "bin-images" / "1.jpg", (AFTER_9999, AFTER_9999))
    os.utime(bucket / "bin-images" / "2.jpg", (BEFORE_1970, BEFORE_1970))
    os.utime(bucket / "metadata" / "3.json", (AFTER_9999, AFTER_9999))
    done = reconcile(
        "run", "--bucket", bucket, "--model", grey_model, "--out", roomy_disk / "out", "--stale-after", "0"
    )
    assert done.returncode == 0, done.stderr
    assert "2 files have a time before 1970 or after 9999" in done.stderr
    assert "1 file has a time before 1970 or after 9999" in done.stderr
    [path] = (roomy_disk / "out").rglob("reconciled.parquet")
    rows = pd.read_parquet(path).set_index("bin_id")
    assert "stale" not in set(rows.loc[["1", "2", "3"], "status"])
    assert rows["photographed_at"].isna().to_dict() == {"1": True, "2": True, "3": False}
    assert rows["record_changed_at"].isna().to_dict() == {"1": False, "2": False, "3": True}
