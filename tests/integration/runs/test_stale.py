"""`reconcile run --stale-after`: stale records in rows, report and exit code."""

import json
import os
import re

import pandas as pd
import pytest

from tests.conftest import last_line, reconcile, write_bucket

PHOTOGRAPHED = 1_790_000_000
"""Seconds since 1970."""


@pytest.fixture
def warehouse(tmp_path):
    """Return a bucket of three bins. The record of one changed an hour after its photo."""
    folder = write_bucket(tmp_path / "w", {"A-1": (1, 5), "A-2": (2, 2), "A-3": (3, 3)})
    for photo in (folder / "bin-images").iterdir():
        os.utime(photo, (0, PHOTOGRAPHED))
    for record in (folder / "metadata").iterdir():
        os.utime(record, (0, PHOTOGRAPHED + 60 * (60 if record.stem == "A-1" else 5)))
    return folder


def test_stale_records_have_their_own_status(warehouse, grey_model, tmp_path):
    arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", "out"]
    done = reconcile(*arguments, "--run-id", "a", "--stale-after", 15)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Stale +1$", done.stdout, re.MULTILINE)
    assert "--stale-after:" not in done.stderr
    summary = json.loads((tmp_path / "out/runs/a/summary.json").read_text())
    assert (summary["totals"]["stale"], summary["totals"]["match"], summary["queued"]) == (1, 2, 2)
    report = (tmp_path / "out/runs/a/report.html").read_text()
    assert re.search(r"records changed after the photo</dt>\s*<dd[^>]*>1</dd>", report)
    assert "the record changed after the photo</td>" in report
    assert "A-1" not in (tmp_path / "out/runs/a/recount.csv").read_text()

    every = reconcile(*arguments, "--run-id", "b", "--stale-after", 0)
    assert (every.returncode, last_line(every.stderr)) == (
        1,
        "reconcile: the run is complete, but nothing could be compared: no readable photo has a record that can be "
        "compared with it; 3 records changed after the photo (--stale-after)",
    )

    without = reconcile(*arguments, "--run-id", "c")
    assert without.returncode == 0
    assert "records changed after the photo" not in (tmp_path / "out/runs/c/report.html").read_text()
    rows = pd.read_parquet(tmp_path / "out/runs/c/reconciled.parquet").set_index("bin_id")
    assert rows.loc["A-1", "status"] == "short"
    late = (rows["record_changed_at"] - rows["photographed_at"]).dt.total_seconds()
    assert late.to_dict() == {"A-1": 3600, "A-2": 300, "A-3": 300}


def test_stale_after_needs_times_in_the_table(warehouse, grey_model, tmp_path):
    time = pd.Timestamp(PHOTOGRAPHED + 3600, unit="s").isoformat()
    (tmp_path / "stock.csv").write_text(f"bin_id,expected_quantity,TOUCHED\nA-1,5,{time}\nA-2,2,\nA-3,3,soon\n")
    arguments = [
        "--bucket",
        warehouse,
        "--model",
        grey_model,
        "--out",
        "out",
        "--stale-after",
        15,
        "--records",
        "stock.csv",
    ]
    for command in ("run", "doctor"):
        refused = reconcile(command, *arguments)
        output = refused.stdout + refused.stderr
        assert refused.returncode == (2 if command == "run" else 1)
        assert "stock.csv has no column 'changed_at' (its columns: bin_id, expected_quantity, TOUCHED)" in output
        assert "name the right one with --records-columns changed_at=COLUMN" in output
    arguments += ["--records-columns", "changed_at=touched"]
    assert reconcile("doctor", *arguments).returncode == 0
    done = reconcile("run", *arguments)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Stale +1$", done.stdout, re.MULTILINE)
    assert (
        "--stale-after: for 2 of 2 compared bins, the time of the photo or of the record's last change" in done.stderr
    )
