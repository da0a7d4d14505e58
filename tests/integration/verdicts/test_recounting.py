"""Recounts between two runs, through the command line: a run, an import of verdicts, and the next run."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.labels import CountLabels
from tests.conftest import abid_record, grey_photo, reconcile, reconcile_from_scratch, write_bucket, write_grey_model
from tests.integration.verdicts.verdict_helpers import (
    BINS,
    fill_in_counts,
    import_file,
    queued_bins,
    read_recount_list,
    read_results,
    run_bucket,
    run_verdicts,
)


def test_verdicts_change_status_queue_and_summary_of_next_run(run_again, tmp_path):
    rows, summary = read_results("out", "n1")
    assert summary["recounts"] is None
    assert sorted(queued_bins(rows)) == sorted(BINS)
    assert set(queued_bins(rows)[:2]) == {"00003", "00004"}
    # The first record is wrong, as in the photo. The second is correct. The third exceeds what the model can count.
    fill_in_counts("n1", {"00003": 1, "00004": 2, "00005": 29}, notes={"00003": "torn box"})
    assert import_file("filled.csv") == "3 verdicts imported, 0 already known, 0 lines invalid"

    verdict_list = run_verdicts("list")
    assert verdict_list.returncode == 0
    table = [line.split() for line in verdict_list.stdout.splitlines()]
    assert table[0][:5] == ["bin_id", "run_id", "true_count", "expected_quantity", "found"]
    assert {(row[0], row[4]) for row in table[1:]} == {("00003", "short"), ("00004", "correct"), ("00005", "short")}
    assert "torn box" in verdict_list.stdout

    next_rows, summary = run_again("n2")
    assert next_rows.loc[["00003", "00004", "00005"], "status"].tolist() == ["short", "match", "short"]
    assert next_rows.loc[["00003", "00004", "00005"], "recounted_count"].tolist() == [1, 2, 29]
    assert next_rows.loc["00004", "predicted_count"] == 5
    assert sorted(queued_bins(next_rows)) == ["00001", "00002", "00006", "00007", "7"]
    assert {line["bin_id"] for line in read_recount_list("n2")} == set(queued_bins(next_rows))
    recounts = summary["recounts"]
    assert (recounts["run_id"], recounts["recounted"], recounts["wrong"], recounts["wrong_by_label"]) == ("n1", 3, 2, 1)
    assert recounts["expected_wrong"] == pytest.approx(rows.loc[["00003", "00004", "00005"], "p_wrong"].sum())
    assert recounts["low"] == recounts["high"] == 2
    # Recounts found two wrong records. The estimate for the other bins is added to them.
    assert summary["expected_wrong"]["low"] >= 2
    assert summary["totals"]["short"] >= 2
    assert len(next_rows) == summary["rows"] == len(BINS)


def test_new_photo_or_record_returns_bin_to_the_queue(run_warehouse, warehouse):
    run_warehouse("n1")
    fill_in_counts("n1", {"00003": 1, "00004": 5, "00001": 2, "00002": 3})
    import_file("filled.csv")
    (warehouse / "bin-images/00001.jpg").write_bytes(grey_photo(2, (80, 60)))  # a new photo of the same count
    (warehouse / "metadata/00002.json").write_bytes(abid_record(5))  # two items were added
    (warehouse / "metadata/00003.json").write_bytes(abid_record(1))  # the record was corrected
    rows, summary = run_warehouse("n2")
    assert sorted(queued_bins(rows)) == ["00001", "00002", "00005", "00006", "00007", "7"]
    assert rows.loc["00003", "status"] == "match"
    assert rows.loc["00003", "recounted_count"] == rows.loc["00003", "expected_quantity"] == 1
    assert rows.loc["00004", "status"] == "over"
    assert rows.loc[["00001", "00002"], "recounted_count"].isna().all()
    assert summary["recounts"]["recounted"] == 4  # the summary keeps the results of recounts, also after later changes


def test_importing_the_same_file_twice_changes_nothing(run_again):
    fill_in_counts("n1", {"00003": 1, "00004": 2})
    import_file("filled.csv")
    list_before = run_verdicts("list").stdout
    assert import_file("filled.csv") == "0 verdicts imported, 2 already known, 0 lines invalid"
    assert run_verdicts("list").stdout == list_before
    assert len(list(Path("out/verdicts").iterdir())) == 1
    # The export of the report contains all marks, the earlier ones and a new one.
    fill_in_counts("n1", {"00003": 1, "00004": 2, "7": 5})
    assert import_file("filled.csv") == "1 verdict imported, 2 already known, 0 lines invalid"
    _, summary = run_again("n2")
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (3, 1)


def test_latest_verdict_of_a_bin_is_used(run_again):
    import_file(fill_in_counts("n1", {"00003": 1}))
    assert import_file(fill_in_counts("n1", {"00003": 4})) == "1 verdict imported, 0 already known, 0 lines invalid"
    rows, summary = run_again("n2")
    assert rows.loc["00003", "status"] == "match"
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (1, 0)
    # The latest verdict also applies if it repeats the first one.
    assert import_file(fill_in_counts("n1", {"00003": 1})) == "1 verdict imported, 0 already known, 0 lines invalid"
    assert run_again("n3")[0].loc["00003", "status"] == "short"


def test_last_import_counts_although_the_clock_stepped_back(run_again, monkeypatch):
    import_file(fill_in_counts("n1", {"00003": 4}))
    [part] = Path("out/verdicts").iterdir()
    table = pq.read_table(part)
    later = pa.array([datetime(2099, 1, 1, tzinfo=UTC)], table.schema.field("imported_at").type)
    table = table.set_column(table.schema.get_field_index("imported_at"), "imported_at", later)
    pq.write_table(table, part)  # the first import had a clock that was too far ahead
    assert import_file(fill_in_counts("n1", {"00003": 1})) == "1 verdict imported, 0 already known, 0 lines invalid"
    assert import_file("filled.csv") == "0 verdicts imported, 1 already known, 0 lines invalid"
    rows, _ = run_again("n2")
    assert (rows.loc["00003", "recounted_count"], rows.loc["00003", "status"]) == (1, "short")
    # A part of an older version has no sequence, and comes before all others.
    pq.write_table(table.drop_columns(["sequence"]), "out/verdicts/part-old.parquet")
    assert run_again("n3")[0].loc["00003", "recounted_count"] == 1
    assert run_verdicts("list").stdout.split("\n")[1].split()[:3] == ["00003", "n1", "1"]


def test_only_parts_of_an_older_version_can_be_read(run_again):
    import_file(fill_in_counts("n1", {"00003": 4}))
    [part] = Path("out/verdicts").iterdir()
    pq.write_table(pq.read_table(part).drop_columns(["sequence"]), part)
    assert run_again("n2")[0].loc["00003", "recounted_count"] == 4
    import_file(fill_in_counts("n1", {"00003": 1}))
    assert run_again("n3")[0].loc["00003", "recounted_count"] == 1


def test_count_far_above_the_record_needs_yes(finished_run):
    # The records of these bins are 4, 2 and 0.
    filled = fill_in_counts("n1", {"00003": 41, "00004": 20, "00006": 21, "7": 50})
    done = run_verdicts("import", filled)
    assert done.returncode == 1
    assert done.stdout.strip() == "2 verdicts imported, 0 already known, 2 lines invalid"
    assert "true_count of bin '00003' is 41, over 10 times the record of 4; if the count is correct" in done.stderr
    assert "true_count of bin '00006' is 21, over 10 times the record of 0; " in done.stderr
    done = run_verdicts("import", filled, "--yes")
    assert done.stdout.strip() == "2 verdicts imported, 2 already known, 0 lines invalid"
    assert import_file(filled) == "0 verdicts imported, 4 already known, 0 lines invalid"


def test_old_file_imported_again_does_not_replace_later_verdicts(run_warehouse, warehouse):
    run_warehouse("n1")
    import_file(fill_in_counts("n1", {"00003": 3}, "first.csv"))
    (warehouse / "metadata/00003.json").write_bytes(abid_record(2))
    run_warehouse("n2")
    import_file(fill_in_counts("n2", {"00003": 2}, "second.csv"))
    assert import_file("first.csv") == "0 verdicts imported, 1 already known, 0 lines invalid"
    rows, summary = run_warehouse("n3")
    assert rows.loc["00003", "recounted_count"] == 2
    assert "00003" not in queued_bins(rows)
    assert summary["recounts"]["run_id"] == "n2"


def test_repeated_photos_and_verdicts_give_one_row_per_photo(run_warehouse, warehouse, tmp_path):
    for camera in ("cam1", "cam2"):
        (warehouse / "bin-images" / camera).mkdir()
        (warehouse / "bin-images" / camera / "00003.jpg").write_bytes(grey_photo(1))
    rows, _ = run_warehouse("n1")
    assert len(rows) == len(BINS) + 2
    fill_in_counts("n1", {"00003": 1})
    import_file("filled.csv")
    import_file(fill_in_counts("n1", {"00003": 4}))
    next_rows, summary = run_warehouse("n2")
    assert next_rows["image_key"].value_counts().max() == 1
    assert len(next_rows) == summary["rows"] == sum(summary["totals"].values()) == len(BINS) + 2
    assert next_rows.loc["00003", "recounted_count"].count() == 1
    assert next_rows.loc["00003", "status"].value_counts().to_dict() == {"match": 1, "no_record": 2}


def test_bin_beyond_the_labels_of_the_model_can_be_recounted(warehouse, tmp_path):
    model = tmp_path / "closed.onnx"
    write_grey_model(model, labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    rows, _ = run_bucket(warehouse, model, "out", "n1")
    assert queued_bins(rows)[-1] == "00005"  # the record says 30, which the model cannot count
    assert pd.isna(rows.loc["00005", "p_wrong"])
    fill_in_counts("n1", {"00005": 30, "00003": 1})
    assert import_file("filled.csv") == "2 verdicts imported, 0 already known, 0 lines invalid"
    next_rows, summary = run_bucket(warehouse, model, "out", "n2")
    assert next_rows.loc[["00003", "00005"], "status"].tolist() == ["short", "match"]
    assert "00005" not in queued_bins(next_rows)
    assert summary["recounts"]["recounted"] == 1  # only bins with a p_wrong are included
    assert len(run_verdicts("list").stdout.splitlines()) == 3


def test_verdicts_are_stored_on_s3_beside_the_runs(s3, warehouse, grey_model, tmp_path):
    write_bucket(s3.root / "bins", BINS)
    (s3.root / "results").mkdir()
    out_arguments = ["--out", "s3://results/nightly", "--endpoint-url", s3.endpoint_url]
    arguments = ["run", "--bucket", "bins", "--model", grey_model, *out_arguments]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    out = s3.root / "results/nightly"
    fill_in_counts("n1", {"00003": 1, "00004": 2}, out=out)
    done = reconcile_from_scratch("verdicts", "import", "filled.csv", *out_arguments)
    assert (done.returncode, done.stdout) == (0, "2 verdicts imported, 0 already known, 0 lines invalid\n"), done.stderr
    second_import = reconcile("verdicts", "import", "filled.csv", *out_arguments)
    assert second_import.stdout == "0 verdicts imported, 2 already known, 0 lines invalid\n"
    assert len(reconcile_from_scratch("verdicts", "list", *out_arguments).stdout.splitlines()) == 3
    assert reconcile_from_scratch("verdicts", "export", "v.csv", *out_arguments).returncode == 0
    assert len(pd.read_csv("v.csv")) == 2
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    rows, summary = read_results(out, "n2")
    assert rows["recounted_count"].dropna().to_dict() == {"00003": 1, "00004": 2}
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (2, 1)


def test_run_ends_before_counting_when_verdicts_cannot_be_read(finished_run):
    folder = Path("out", "verdicts")
    folder.mkdir()
    (folder / "part-x.parquet").write_bytes(b"PAR1 and no more")
    bucket = json.loads(Path("out/runs/n1/summary.json").read_text())["bucket"]
    model = json.loads(Path("out/runs/n1/summary.json").read_text())["parameters"]["model"]
    done = reconcile("run", "--bucket", bucket, "--model", model, "--out", "out", "--run-id", "n2")
    assert done.returncode == 1
    assert "counted" not in done.stderr
    assert "restore that file from a backup" in done.stderr.splitlines()[-1]
