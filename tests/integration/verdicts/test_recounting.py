"""From the queue to the shelf and back: a run, what people found, and the next run, through the command line."""

import json
from pathlib import Path

import pandas as pd
import pytest

from reconcile.labels import CountLabels
from tests.conftest import abid_record, grey_photo, reconcile, reconcile_from_scratch, write_bucket, write_grey_model
from tests.integration.verdicts.warehouse import BINS, fill_in, queue, recount_list, results, run_night, taken, verdicts


def test_from_the_queue_to_the_shelf_and_back(night, tmp_path):
    rows, summary = results("out", "n1")
    assert summary["recounts"] is None
    assert sorted(queue(rows)) == sorted(BINS)
    assert set(queue(rows)[:2]) == {"00003", "00004"}
    # The first is wrong as the photo said, the second is right after all, in the third only people can tell.
    fill_in("n1", {"00003": 1, "00004": 2, "00005": 29}, notes={"00003": "torn box"})
    assert taken("filled.csv") == "3 verdicts imported, 0 already known, 0 lines invalid"

    listed = verdicts("list")
    assert listed.returncode == 0
    table = [line.split() for line in listed.stdout.splitlines()]
    assert table[0][:5] == ["bin_id", "run_id", "true_count", "expected_quantity", "found"]
    assert {(row[0], row[4]) for row in table[1:]} == {("00003", "short"), ("00004", "right"), ("00005", "short")}
    assert "torn box" in listed.stdout

    again, summary = night("n2")
    assert again.loc[["00003", "00004", "00005"], "status"].tolist() == ["short", "match", "short"]
    assert again.loc[["00003", "00004", "00005"], "recounted_count"].tolist() == [1, 2, 29]
    assert again.loc["00004", "predicted_count"] == 5
    assert sorted(queue(again)) == ["00001", "00002", "00006", "00007", "7"]
    assert {line["bin_id"] for line in recount_list("n2")} == set(queue(again))
    recounts = summary["recounts"]
    assert (recounts["run_id"], recounts["recounted"], recounts["wrong"], recounts["wrong_by_label"]) == ("n1", 3, 2, 1)
    assert recounts["expected_wrong"] == pytest.approx(rows.loc[["00003", "00004", "00005"], "p_wrong"].sum())
    assert recounts["low"] == recounts["high"] == 2
    # Two records are known to be wrong, and what is left to expect comes on top.
    assert summary["expected_wrong"]["low"] >= 2
    assert summary["totals"]["short"] >= 2
    assert len(again) == summary["rows"] == len(BINS)


def test_a_new_photo_or_a_changed_record_brings_a_bin_back_into_the_queue(own_night, warehouse):
    own_night("n1")
    fill_in("n1", {"00003": 1, "00004": 5, "00001": 2, "00002": 3})
    taken("filled.csv")
    (warehouse / "bin-images/00001.jpg").write_bytes(grey_photo(2, (80, 60)))  # a new photo of as many
    (warehouse / "metadata/00002.json").write_bytes(abid_record(5))  # two were put in
    (warehouse / "metadata/00003.json").write_bytes(abid_record(1))  # the record was mended
    rows, summary = own_night("n2")
    assert sorted(queue(rows)) == ["00001", "00002", "00005", "00006", "00007", "7"]
    assert rows.loc["00003", "status"] == "match"
    assert rows.loc["00003", "recounted_count"] == rows.loc["00003", "expected_quantity"] == 1
    assert rows.loc["00004", "status"] == "over"
    assert rows.loc[["00001", "00002"], "recounted_count"].isna().all()
    assert summary["recounts"]["recounted"] == 4  # it tells what was found, whatever came of it since


def test_importing_the_same_file_twice_changes_nothing(night):
    fill_in("n1", {"00003": 1, "00004": 2})
    taken("filled.csv")
    first = verdicts("list").stdout
    assert taken("filled.csv") == "0 verdicts imported, 2 already known, 0 lines invalid"
    assert verdicts("list").stdout == first
    assert len(list(Path("out/verdicts").iterdir())) == 1
    # The report's export holds all marks each time: those before, and a new one.
    fill_in("n1", {"00003": 1, "00004": 2, "7": 5})
    assert taken("filled.csv") == "1 verdict imported, 2 already known, 0 lines invalid"
    _, summary = night("n2")
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (3, 1)


def test_who_counted_wrong_counts_again_and_the_last_word_holds(night):
    taken(fill_in("n1", {"00003": 1}))
    assert taken(fill_in("n1", {"00003": 4})) == "1 verdict imported, 0 already known, 0 lines invalid"
    rows, summary = night("n2")
    assert rows.loc["00003", "status"] == "match"
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (1, 0)
    # ... also if it is the first word once more.
    assert taken(fill_in("n1", {"00003": 1})) == "1 verdict imported, 0 already known, 0 lines invalid"
    assert night("n3")[0].loc["00003", "status"] == "short"


def test_an_old_file_imported_again_does_not_overrule_what_was_found_since(own_night, warehouse):
    own_night("n1")
    taken(fill_in("n1", {"00003": 3}, "first.csv"))
    (warehouse / "metadata/00003.json").write_bytes(abid_record(2))
    own_night("n2")
    taken(fill_in("n2", {"00003": 2}, "second.csv"))
    assert taken("first.csv") == "0 verdicts imported, 1 already known, 0 lines invalid"
    rows, summary = own_night("n3")
    assert rows.loc["00003", "recounted_count"] == 2
    assert "00003" not in queue(rows)
    assert summary["recounts"]["run_id"] == "n2"


def test_two_photos_of_a_bin_and_verdicts_twice_over_stay_one_row_each(own_night, warehouse, tmp_path):
    for camera in ("cam1", "cam2"):
        (warehouse / "bin-images" / camera).mkdir()
        (warehouse / "bin-images" / camera / "00003.jpg").write_bytes(grey_photo(1))
    rows, _ = own_night("n1")
    assert len(rows) == len(BINS) + 2
    fill_in("n1", {"00003": 1})
    taken("filled.csv")
    taken(fill_in("n1", {"00003": 4}))
    again, summary = own_night("n2")
    assert again["image_key"].value_counts().max() == 1
    assert len(again) == summary["rows"] == sum(summary["totals"].values()) == len(BINS) + 2
    assert again.loc["00003", "recounted_count"].count() == 1
    assert again.loc["00003", "status"].value_counts().to_dict() == {"match": 1, "no_record": 2}


def test_a_bin_whose_record_no_label_covers_can_be_recounted_too(warehouse, tmp_path):
    model = tmp_path / "closed.onnx"
    write_grey_model(model, labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    rows, _ = run_night(warehouse, model, "out", "n1")
    assert queue(rows)[-1] == "00005"  # 30 on record: nothing is known of how likely that is wrong
    assert pd.isna(rows.loc["00005", "p_wrong"])
    assert taken(fill_in("n1", {"00005": 30, "00003": 1})) == "2 verdicts imported, 0 already known, 0 lines invalid"
    again, summary = run_night(warehouse, model, "out", "n2")
    assert again.loc[["00003", "00005"], "status"].tolist() == ["short", "match"]
    assert "00005" not in queue(again)
    assert summary["recounts"]["recounted"] == 1  # of those that something was expected of
    assert len(verdicts("list").stdout.splitlines()) == 3


def test_verdicts_lie_on_s3_where_the_runs_do(s3, warehouse, grey_model, tmp_path):
    write_bucket(s3.root / "bins", BINS)
    (s3.root / "results").mkdir()
    place = ["--out", "s3://results/nightly", "--endpoint-url", s3.endpoint_url]
    arguments = ["run", "--bucket", "bins", "--model", grey_model, *place]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    out = s3.root / "results/nightly"
    fill_in("n1", {"00003": 1, "00004": 2}, out=out)
    done = reconcile_from_scratch("verdicts", "import", "filled.csv", *place)
    assert (done.returncode, done.stdout) == (0, "2 verdicts imported, 0 already known, 0 lines invalid\n"), done.stderr
    again = reconcile("verdicts", "import", "filled.csv", *place)
    assert again.stdout == "0 verdicts imported, 2 already known, 0 lines invalid\n"
    assert len(reconcile_from_scratch("verdicts", "list", *place).stdout.splitlines()) == 3
    assert reconcile_from_scratch("verdicts", "export", "v.csv", *place).returncode == 0
    assert len(pd.read_csv("v.csv")) == 2
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    rows, summary = results(out, "n2")
    assert rows["recounted_count"].dropna().to_dict() == {"00003": 1, "00004": 2}
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (2, 1)


def test_a_broken_part_of_the_verdicts_ends_a_run_before_it_counts(night):
    folder = Path("out", "verdicts")
    folder.mkdir()
    (folder / "part-x.parquet").write_bytes(b"PAR1 and no more")
    bucket = json.loads(Path("out/runs/n1/summary.json").read_text())["bucket"]
    model = json.loads(Path("out/runs/n1/summary.json").read_text())["parameters"]["model"]
    done = reconcile("run", "--bucket", bucket, "--model", model, "--out", "out", "--run-id", "n2")
    assert done.returncode == 1
    assert "counted" not in done.stderr
    assert "bring them back" in done.stderr.splitlines()[-1]
