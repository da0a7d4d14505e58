"""`reconcile prune`: what it removes, what it keeps, and that the rest still works."""

import json
import os
import pty
import shutil
import subprocess
from datetime import UTC, datetime

import pandas as pd
import pytest

from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.logs import RunLog
from reconcile.output.history import earlier_runs
from reconcile.output.lock import run_lock
from reconcile.output.retention import apply_removal, plan_removal
from reconcile.output.run_ids import RUN_FILES
from reconcile.output.store import Output
from reconcile.output.summary import Summary
from reconcile.pipeline.context import open_run
from reconcile.pipeline.run import run
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.verdicts.queries import verdict_table
from tests.conftest import SCRIPTS, last_line, reconcile, reconcile_from_scratch, write_bucket, write_grey_model

BINS = {"1": (1, 1), "2": (2, 2), "3": (3, 5)}
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def files(out):
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def runs(out):
    return sorted(path.name for path in (out / "runs").iterdir())


def write(out, key, day):
    """Write a file as of a day of January 2026."""
    (out / key).parent.mkdir(parents=True, exist_ok=True)
    (out / key).write_bytes(b"x" * 1000)
    os.utime(out / key, (START + 86400 * (day - 1),) * 2)


def run_once(folder, out, version, run_id):
    """Run with one of two models."""
    values = {"bucket": str(folder / "w"), "out": str(out), "model": folder / f"{version}.onnx", "device": "cpu"}
    run(open_run(load_settings(values, flags_only=True), run_id, RunLog("text")))


@pytest.fixture(scope="module")
def four_runs(tmp_path_factory):
    """Return runs of four days in January 2026: a and b with one model, c and d with another. b has a verdict."""
    folder = tmp_path_factory.mktemp("four_runs")
    out = folder / "out"
    write_bucket(folder / "w", BINS)
    for day, run_id in enumerate("abcd", start=1):
        version = "old" if run_id in "ab" else "new"
        write_grey_model(folder / f"{version}.onnx", version=version)
        before = files(out)
        run_once(folder, out, version, run_id)
        for name in files(out) - before:
            os.utime(out / name, (START + 86400 * (day - 1),) * 2)
        path = out / "runs" / run_id / "summary.json"
        status, summary = path.stat(), json.loads(path.read_text())
        path.write_text(json.dumps(summary | {"started_at": f"2026-01-0{day}T02:15:00+00:00"}))
        os.utime(path, (status.st_mtime,) * 2)
    verdicts = folder / "verdicts.csv"
    verdicts.write_text("bin_id,run_id,true_count\n3,b,3\n")
    assert reconcile("verdicts", "import", verdicts, "--out", out).returncode == 0
    return folder


@pytest.fixture
def out(four_runs, tmp_path):
    """Return a copy of `four_runs` with the same file times, with leftovers, unfinished runs and foreign files."""
    out = shutil.copytree(four_runs / "out", tmp_path / "out")
    write(out, "runs/half/report.html", 3)
    write(out, "runs/going-on/report.html", 5)
    write(out, "runs/archive/old/summary.json", 1)
    write(out, ".probe-1", 1)
    write(out, "counts/x.1.reconcile-partial", 1)
    (out / "records" / "y.2.reconcile-partial").write_bytes(b"being written")
    return out


def test_dry_run_lists_the_removal_and_removes_nothing(out):
    before = files(out)
    completed = reconcile("prune", "--keep", "2", "--dry-run", "--out", out)
    assert completed.returncode == 0, completed.stderr
    finished, unfinished, counts, leftovers, total = completed.stdout.splitlines()
    assert finished.startswith("2 of 4 finished runs, 2026-01-01 02:15 to 2026-01-02 02:15: ")
    assert unfinished == "1 run that never finished: 1.0 kB"
    assert counts.startswith("counts of model old-")
    assert leftovers == "2 leftovers of interrupted writes: 2.0 kB"
    assert total.startswith("12 files, ")
    assert total.endswith(f" would be removed from {out}")
    assert files(out) == before
    assert reconcile("prune", "--dry-run", "--out", out).stdout.splitlines()[-1].startswith("3 files, 3.0 kB would")


def test_kept_runs_work_as_before(out, four_runs):
    kept = {name for name in files(out) if name.startswith(("records/", "verdicts/", "runs/c/", "runs/d/"))}
    kept |= {name for name in files(out) if name.startswith("counts/new-")}
    kept |= {"runs/going-on/report.html", "runs/archive/old/summary.json"}
    completed = reconcile("prune", "--keep", "2", "--yes", "--out", out)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines()[-1].endswith(f" removed from {out}")
    assert files(out) == kept
    assert runs(out) == ["archive", "c", "d", "going-on"]
    assert not list(out.glob("counts/old-*"))

    assert reconcile("report", "d", "--out", out).returncode == 0
    run_once(four_runs, out, "new", "e")
    summary = json.loads((out / "runs/e/summary.json").read_text())
    assert summary["counted"] == 0
    assert summary["recounts"]["run_id"] == "b"
    rows = pd.read_parquet(out / "runs/e/reconciled.parquet").set_index("bin_id")
    assert rows.loc["3", "recounted_count"] == 3
    output = Output(open_bucket(str(out), S3Access()))
    assert [earlier.run_id for earlier in earlier_runs(output, Summary.from_dict(summary), out)] == ["c", "d"]
    assert verdict_table(output, out)["run_id"].tolist() == ["b"]


def test_prune_keeps_waiting_and_rejected_files_of_the_inbox(out):
    for key in ("inbox/waiting.csv", "inbox/rejected/a.csv", "inbox/imported/old.csv"):
        write(out, key, 1)
    write(out, "inbox/imported/new.csv", 4)
    completed = reconcile("prune", "--keep", "2", "--yes", "--out", out)
    assert completed.returncode == 0, completed.stderr
    assert "1 imported file of the inbox: 1.0 kB" in completed.stdout
    inbox = {name for name in files(out) if name.startswith("inbox/")}
    assert inbox == {"inbox/waiting.csv", "inbox/rejected/a.csv", "inbox/imported/new.csv"}


def test_prune_on_s3_removes_the_same_objects(out, s3):
    shutil.copytree(out, s3.root / "results" / "nightly")
    output = Output(open_bucket("s3://results/nightly", S3Access(endpoint_url=s3.endpoint_url)))
    apply_removal(output, 2, plan_removal(output, 2), RunLog("text"))
    assert reconcile("prune", "--keep", "2", "--yes", "--out", out).returncode == 0
    # Only a local folder has partial files.
    assert {name for name in files(s3.root / "results/nightly") if not name.endswith(".reconcile-partial")} == {
        name for name in files(out) if not name.endswith(".reconcile-partial")
    }


@pytest.mark.parametrize("answer", ["n", "y", "ctrl-d"])
def test_prune_on_a_terminal_asks_first(out, answer):
    before = files(out)
    our_end, their_end = pty.openpty()
    command = [str(SCRIPTS / "reconcile"), "prune", "--keep", "2", "--out", str(out)]
    process = subprocess.Popen(command, stdin=their_end, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(our_end, {"ctrl-d": b"\x04"}.get(answer, f"{answer}\n".encode()))
    output, log = process.communicate(timeout=60)
    for end in (our_end, their_end):
        os.close(end)
    assert "Remove 12 files" in output
    assert process.returncode == (0 if answer == "y" else 1), log
    assert runs(out) == (
        ["archive", "c", "d", "going-on"] if answer == "y" else sorted([*"abcd", "archive", "going-on", "half"])
    )
    assert answer == "y" or (files(out) == before and last_line(log) == "reconcile: nothing was removed")


def test_prune_without_a_terminal_removes_nothing(out):
    before = files(out)
    completed = reconcile_from_scratch("prune", "--keep", "2", "--out", out, stdin=subprocess.DEVNULL)
    assert completed.returncode == 2
    assert (
        last_line(completed.stderr)
        == "reconcile: nothing was removed: prune cannot ask without a terminal; add --yes or --dry-run"
    )
    assert files(out) == before


class FailingDeletes:
    """A bucket in which only a number of deletions succeed."""

    def __init__(self, bucket, deletions):
        self._bucket, self._deletions = bucket, deletions

    def __getattr__(self, name):
        return getattr(self._bucket, name)

    def delete(self, key):
        if not key.startswith((".probe-", "run.lock")):
            self._deletions -= 1
            if self._deletions < 0:
                raise ReconcileError("cannot delete")
        self._bucket.delete(key)


def test_interrupted_prune_leaves_no_half_run(out, tmp_path):
    write(out, "runs/a/sub/notes.txt", 1)
    bucket = open_bucket(str(out), S3Access())
    plan = plan_removal(Output(bucket), 2)
    for deletions in range(len(plan.objects) - 1):
        copy = shutil.copytree(out, tmp_path / str(deletions))
        bucket = open_bucket(str(copy), S3Access())
        output = Output(FailingDeletes(bucket, deletions))
        with pytest.raises(ReconcileError, match="cannot delete"):
            apply_removal(output, 2, plan_removal(output, 2), RunLog("text"))
        for run_id in Output(bucket).finished_runs():
            assert {path.name for path in (copy / "runs" / run_id).iterdir()} >= set(RUN_FILES) - {"recount.jsonl"}
        apply_removal(Output(bucket), 2, plan_removal(Output(bucket), 2), RunLog("text"))
        assert runs(copy) == ["archive", "c", "d", "going-on"]
        assert plan_removal(Output(bucket), 2).objects == []
        assert not (copy / "run.lock").exists()


def test_prune_is_refused_while_a_run_works(out):
    before = files(out)
    output = Output(open_bucket(str(out), S3Access()))
    with run_lock(output, "e", pytest.fail):
        completed = reconcile("prune", "--keep", "2", "--yes", "--out", out)
    assert completed.returncode == 1
    assert "is in use by run e (host " in completed.stderr
    assert files(out) == before


def test_only_approved_objects_are_removed(out):
    output = Output(open_bucket(str(out), S3Access()))
    approved = plan_removal(output, 2)
    shutil.copytree(out / "runs" / "d", out / "runs" / "e")  # a run that finishes before the answer
    summary = json.loads((out / "runs/e/summary.json").read_text())
    (out / "runs/e/summary.json").write_text(json.dumps(summary | {"started_at": "2026-01-05T02:15:00Z"}))
    apply_removal(output, 2, approved, RunLog("text"))
    assert runs(out) == ["archive", "c", "d", "e", "going-on"]


def test_counts_that_a_run_may_need_are_kept(out):
    output = Output(open_bucket(str(out), S3Access()))

    def removed_counts():
        return {
            stored.key.split("/")[1][:4] for stored in plan_removal(output, 1).objects if "counts/old" in stored.key
        }

    assert removed_counts() == {"old-"}
    [folder] = out.glob("counts/old-*")
    # A part of a run that was stopped after the last finished run.
    write(out, f"counts/{folder.name}/part-new.parquet", 6)
    assert removed_counts() == set()
    (folder / "part-new.parquet").unlink()
    (out / "runs/d/summary.json").write_text("{}")  # its model is unknown
    assert removed_counts() == set()


def test_sagemaker_archive_is_removed_with_the_counts_of_its_model(out):
    old, new = (next((out / "counts").glob(f"{version}-*")).name for version in ("old", "new"))
    for model in (old, new):
        write(out, f"transform/models/{model}/model.tar.gz", 1)
    removed = {stored.key for stored in plan_removal(Output(open_bucket(str(out), S3Access())), 2).objects}
    assert {key for key in removed if key.startswith("transform/")} == {f"transform/models/{old}/model.tar.gz"}


def test_copied_runs_keep_their_age(out):
    for run_id, day in zip("abcd", (9, 8, 7, 6), strict=True):
        os.utime(out / "runs" / run_id / "summary.json", (START + 86400 * day,) * 2)
    output = Output(open_bucket(str(out), S3Access()))
    removed = [stored.key for stored in plan_removal(output, 2).objects]
    assert {key.split("/")[1] for key in removed if key.startswith("runs/")} == {"a", "b", "half", "going-on"}
