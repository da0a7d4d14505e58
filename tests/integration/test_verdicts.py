"""From the queue to the shelf and back: a run, what people found, and the next run, through the command line."""

import csv
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reconcile.discrepancy import ErrorModel, p_wrong, truth_given_photo_and_record
from reconcile.error_learning import learn_errors
from reconcile.label_shift import under_another_mix
from reconcile.labels import CountLabels
from reconcile.verdicts import last_recounts, recounts_for
from tests.conftest import abid_record, grey_photo, last_line, reconcile, write_bucket, write_grey_model

# bin id: (items in the photo, items on record)
BINS = {
    "00001": (2, 2),
    "00002": (3, 3),
    "00003": (1, 4),
    "00004": (5, 2),
    "00005": (6, 30),
    "00006": (0, 0),
    "7": (4, 5),
    "00007": (4, 4),
}


@pytest.fixture(scope="module")
def first_night(tmp_path_factory, grey_model):
    """A bucket and <out> after the run n1, made once; no test changes either."""
    folder = tmp_path_factory.mktemp("first")
    bucket = write_bucket(folder / "w", BINS)
    with pytest.MonkeyPatch.context() as patch:  # own_environment comes too late for it
        for name in [name for name in os.environ if name.startswith("RECONCILE_")]:
            patch.delenv(name)
        run_night(bucket, grey_model, folder / "out", "n1")
    return bucket, folder / "out"


@pytest.fixture
def night(first_night, grey_model, tmp_path):
    """<out> after the run n1, in the working directory; runs more nights over the same bucket, by run id."""
    bucket, out = first_night
    shutil.copytree(out, tmp_path / "out")
    return partial(run_night, bucket, grey_model, "out")


@pytest.fixture
def warehouse(tmp_path):
    """A bucket that a test may change."""
    return write_bucket(tmp_path / "w", BINS)


@pytest.fixture
def own_night(warehouse, grey_model):
    """Runs nights over that bucket."""
    return partial(run_night, warehouse, grey_model, "out")


def run_night(bucket, model, out, run_id, *arguments):
    done = reconcile("run", "--bucket", bucket, "--model", model, "--out", out, "--run-id", run_id, *arguments)
    assert done.returncode == 0, done.stderr
    return results(out, run_id)


def results(out, run_id):
    folder = Path(out, "runs", run_id)
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return rows.set_index("bin_id"), json.loads((folder / "summary.json").read_text())


def queue(rows) -> list[str]:
    return rows["recount_rank"].dropna().sort_values().index.tolist()


def recount_list(run_id, out="out") -> list[dict[str, str]]:
    with Path(out, "runs", run_id, "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def fill_in(run_id, found: dict[str, object], file="filled.csv", out="out", notes=None):
    """Write true counts into a run's recount.csv as a person would, and save it under another name."""
    lines = recount_list(run_id, out)
    assert set(found) <= {line["bin_id"] for line in lines}
    with Path(file).open("w", newline="") as destination:
        writer = csv.DictWriter(destination, lines[0])
        writer.writeheader()
        for line in lines:
            note = (notes or {}).get(line["bin_id"], "")
            writer.writerow(line | {"true_count": found.get(line["bin_id"], ""), "note": note})
    return file


def verdicts(command, *arguments, out="out"):
    return reconcile("verdicts", command, *arguments, "--out", out)


def taken(file, out="out") -> str:
    done = verdicts("import", file, out=out)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()


def test_from_the_queue_to_the_shelf_and_back(night, tmp_path):
    rows, summary = results("out", "n1")
    assert summary["recounts"] is None
    assert sorted(queue(rows)) == sorted(BINS)
    assert set(queue(rows)[:2]) == {"00003", "00004"}
    # The first is wrong as the photo said, the second is right after all, in the third only people can tell.
    fill_in("n1", {"00003": 1, "00004": 2, "00005": 29}, notes={"00003": "torn box"})
    assert taken("filled.csv") == "3 verdicts taken, 0 known already, 0 lines left out"

    listed = verdicts("list")
    assert listed.returncode == 0
    table = [line.split() for line in listed.stdout.splitlines()]
    assert table[0][:5] == ["bin_id", "run_id", "true_count", "expected_quantity", "record"]
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
    assert taken("filled.csv") == "0 verdicts taken, 2 known already, 0 lines left out"
    assert verdicts("list").stdout == first
    assert len(list(Path("out/verdicts").iterdir())) == 1
    # The report's export holds all marks each time: those before, and a new one.
    fill_in("n1", {"00003": 1, "00004": 2, "7": 5})
    assert taken("filled.csv") == "1 verdict taken, 2 known already, 0 lines left out"
    _, summary = night("n2")
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (3, 1)


def test_who_counted_wrong_counts_again_and_the_last_word_holds(night):
    taken(fill_in("n1", {"00003": 1}))
    assert taken(fill_in("n1", {"00003": 4})) == "1 verdict taken, 0 known already, 0 lines left out"
    rows, summary = night("n2")
    assert rows.loc["00003", "status"] == "match"
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (1, 0)
    # ... also if it is the first word once more.
    assert taken(fill_in("n1", {"00003": 1})) == "1 verdict taken, 0 known already, 0 lines left out"
    assert night("n3")[0].loc["00003", "status"] == "short"


def test_an_old_file_imported_again_does_not_overrule_what_was_found_since(own_night, warehouse):
    own_night("n1")
    taken(fill_in("n1", {"00003": 3}, "first.csv"))
    (warehouse / "metadata/00003.json").write_bytes(abid_record(2))
    own_night("n2")
    taken(fill_in("n2", {"00003": 2}, "second.csv"))
    assert taken("first.csv") == "0 verdicts taken, 1 known already, 0 lines left out"
    rows, summary = own_night("n3")
    assert rows.loc["00003", "recounted_count"] == 2
    assert "00003" not in queue(rows)
    assert summary["recounts"]["run_id"] == "n2"


def test_bad_lines_are_told_and_the_rest_is_taken(night, tmp_path):
    (tmp_path / "mixed.csv").write_text(
        "bin_id,run_id,true_count,note\n"
        "00003,n1,1,\n"
        "00004,n1,many,\n"
        "00001,n1,,not my aisle\n"
        "nowhere,n1,2,\n"
        "00002,n9,3,\n"
        "00002,../../etc,3,\n"
        "00004,n1,2,\n"
    )
    done = verdicts("import", "mixed.csv")
    assert done.returncode == 1
    assert done.stdout.strip() == "2 verdicts taken, 0 known already, 4 lines left out"
    place = tmp_path / "out"
    assert done.stderr.splitlines() == [
        "reconcile: mixed.csv: line 3: true_count of bin '00004' is no number: 'many'",
        "reconcile: mixed.csv: line 5: the run compared no bin 'nowhere'",
        f"reconcile: mixed.csv: line 6: there is no finished run 'n9' in {place}",
        f"reconcile: mixed.csv: line 7: there is no finished run '../../etc' in {place}",
    ]
    assert len(verdicts("list").stdout.splitlines()) == 3


def test_not_one_good_line_is_a_failure(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n")
    done = verdicts("import", "v.csv")
    assert (done.returncode, done.stdout) == (1, "0 verdicts taken, 0 known already, 1 line left out\n")
    assert "line 2: there is no finished run 'n2'" in done.stderr
    assert not (tmp_path / "out/verdicts").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bin_id,count\n1,2\n", "has no column run_id and no column true_count"),
        ("", "is empty"),
        (None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_verdicts_is_wrong_usage(tmp_path, content, message):
    (tmp_path / "out").mkdir()
    if content is not None:
        (tmp_path / "v.csv").write_text(content)
    done = verdicts("import", "v.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("reconcile: v.csv ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unfilled_list_is_no_verdict_and_no_failure(night):
    assert taken("out/runs/n1/recount.csv").startswith("0 verdicts taken, 0 known already, 0 lines left out")
    assert verdicts("list").stdout == "no verdicts yet\n"


def test_a_run_whose_files_are_broken_is_told_by_its_lines(night, tmp_path):
    fill_in("n1", {"00003": 1})
    (tmp_path / "out/runs/n1/reconciled.parquet").write_bytes(b"PAR1")
    done = verdicts("import", "filled.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("reconcile: filled.csv: line 2: run n1 cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_what_excel_makes_of_the_list_still_says_which_bin_is_meant(night, tmp_path):
    lines = recount_list("n1")
    found = {"00003": 1, "00007": 4, "7": 5}
    rows = [
        [line["bin_id"].lstrip("0"), line["run_id"], line["image_key"], found.get(line["bin_id"], ""), "Lücke"]
        for line in lines
    ]
    table = [["bin_id", "run_id", "image_key", "true_count", "note"], *rows]
    text = "\r\n".join(";".join(map(str, row)) for row in table)
    (tmp_path / "excel.csv").write_bytes(text.encode("cp1252"))
    assert taken("excel.csv") == "3 verdicts taken, 0 known already, 0 lines left out"
    again, _ = night("n2")
    assert again["recounted_count"].dropna().to_dict() == found


def test_where_the_zeros_are_lost_and_no_photo_is_named_only_what_is_sure_is_taken(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n3,n1,1\n7,n1,5\n007,n1,4\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 4: bin '007' may be any of 00007, 7\n"
    again, _ = night("n2")
    assert again["recounted_count"].dropna().to_dict() == {"00003": 1, "7": 5}


def test_a_photo_of_one_bin_and_the_id_of_another_is_no_verdict_on_either(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count,image_key\n00003,n1,1,bin-images/00004.jpg\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert "line 2: image_key is a photo of bin '00004', not of '00003'" in done.stderr


def test_what_is_exported_can_be_opened_in_a_spreadsheet_and_imported_again(night, tmp_path):
    taken(fill_in("n1", {"00003": 1, "00004": 2}, notes={"00003": "=1+1", "00004": "a;\n+2"}))
    done = verdicts("export", "verdicts.csv")
    assert (done.returncode, done.stdout) == (0, "2 verdicts written to verdicts.csv\n")
    with Path("verdicts.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = {line["bin_id"]: line for line in csv.DictReader(file)}
    assert (lines["00003"]["true_count"], lines["00003"]["record"], lines["00004"]["record"]) == ("1", "short", "right")
    assert (lines["00003"]["note"], lines["00004"]["note"]) == ("'=1+1", "a;\n'+2")
    assert taken("verdicts.csv") == "0 verdicts taken, 2 known already, 0 lines left out"
    assert verdicts("export", "/proc/nowhere/v.csv").returncode == 1


def test_verdicts_lie_on_s3_where_the_runs_do(s3, warehouse, grey_model, tmp_path):
    write_bucket(s3.root / "bins", BINS)
    (s3.root / "results").mkdir()
    place = ["--out", "s3://results/nightly", "--endpoint-url", s3.endpoint_url]
    arguments = ["run", "--bucket", "bins", "--model", grey_model, *place]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    out = s3.root / "results/nightly"
    fill_in("n1", {"00003": 1, "00004": 2}, out=out)
    done = reconcile("verdicts", "import", "filled.csv", *place)
    assert (done.returncode, done.stdout) == (0, "2 verdicts taken, 0 known already, 0 lines left out\n"), done.stderr
    again = reconcile("verdicts", "import", "filled.csv", *place)
    assert again.stdout == "0 verdicts taken, 2 known already, 0 lines left out\n"
    assert len(reconcile("verdicts", "list", *place).stdout.splitlines()) == 3
    assert reconcile("verdicts", "export", "v.csv", *place).returncode == 0
    assert len(pd.read_csv("v.csv")) == 2
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    rows, summary = results(out, "n2")
    assert rows["recounted_count"].dropna().to_dict() == {"00003": 1, "00004": 2}
    assert (summary["recounts"]["recounted"], summary["recounts"]["wrong"]) == (2, 1)


def test_the_capacity_is_how_many_bins_are_listed(night):
    rows, summary = night("more", "--capacity", 3)
    lines = recount_list("more")
    assert [line["bin_id"] for line in lines] == queue(rows)[:3]
    assert [line["recount_rank"] for line in lines] == ["1", "2", "3"]
    assert summary["capacity"] == 3
    assert len(queue(rows)) == len(BINS)
    assert summary["expected_wrong_in_queue"]["value"] == pytest.approx(
        rows.loc[queue(rows)[:3], "p_wrong"].sum(), abs=1e-3
    )


def test_names_that_a_spreadsheet_would_run_come_back_as_they_were(grey_model, tmp_path):
    hostile = ["=1+1", "+1", "-1", "@x", "\t=1", "a;=1", "'=1", "'x"]
    bucket = write_bucket(tmp_path / "hostile", dict.fromkeys(hostile, (1, 4)))
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "out"]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    lines = recount_list("n1")
    assert len(lines) == len(hostile)
    assert not [cell for line in lines for cell in line.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    fill_in("n1", {line["bin_id"]: 1 for line in lines})
    done = verdicts("import", "filled.csv")
    assert done.returncode == 0, done.stderr
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    assert results("out", "n2")[0]["recounted_count"].dropna().to_dict() == dict.fromkeys(hostile, 1)


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
    assert taken(fill_in("n1", {"00005": 30, "00003": 1})) == "2 verdicts taken, 0 known already, 0 lines left out"
    again, summary = run_night(warehouse, model, "out", "n2")
    assert again.loc[["00003", "00005"], "status"].tolist() == ["short", "match"]
    assert "00005" not in queue(again)
    assert summary["recounts"]["recounted"] == 1  # of those that something was expected of
    assert len(verdicts("list").stdout.splitlines()) == 3


def test_recounts_teach_how_many_records_are_wrong(grey_model, tmp_path):
    """Photos that disagree with one record in five, and people who find them all right or all wrong."""
    bins = {f"{n:03d}": (2, 3 if n % 5 == 0 else 2) for n in range(200)}
    bucket = write_bucket(tmp_path / "many", bins)
    arguments = ["run", "--bucket", bucket, "--model", grey_model]
    rates = {}
    for found in ("as in the photo", "as on record"):
        out = found.replace(" ", "-")
        assert reconcile(*arguments, "--out", out, "--run-id", "n1", "--capacity", 200).returncode == 0
        counts = {name: seen if found == "as in the photo" else record for name, (seen, record) in bins.items()}
        fill_in("n1", counts, out=out)
        taken("filled.csv", out=out)
        assert reconcile(*arguments, "--out", out, "--run-id", "n2").returncode == 0
        rows, summary = results(out, "n2")
        assert queue(rows) == []
        assert summary["recounts"]["wrong"] == (40 if found == "as in the photo" else 0)
        assert summary["record_accuracy"]["value"] == pytest.approx(0.8 if found == "as in the photo" else 1)
        rates[found] = summary["record_error_rate"]
    assert rates["as on record"] < 0.03 < rates["as in the photo"]


def test_the_value_of_what_is_missing_can_rank_the_queue(night, tmp_path):
    (tmp_path / "costs.csv").write_text("asin,unit_cost\nB0TEST,2.5\nB0OTHER,free\n")
    rows, summary = night("more", "--rank-by", "value", "--costs", "costs.csv")
    valued = rows.dropna(subset="value_off")
    assert valued["value_off"].to_numpy() == pytest.approx(2.5 * valued["units_off"].to_numpy())
    assert queue(rows)[: len(valued)] == valued.sort_values("value_off", ascending=False).index.tolist()
    assert queue(rows)[-1] == "00006"  # nothing on record, so nothing that has a cost
    assert summary["rank_by"] == "value"
    assert recount_list("more")[0]["value_off"] != ""


def test_ranking_by_value_without_costs_is_wrong_usage(warehouse, grey_model):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--rank-by", "value")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert last_line(done.stderr) == "reconcile: --rank-by value needs --costs FILE with the columns asin and unit_cost"
    assert not Path("out").exists()


def test_costs_of_no_use_are_told_in_one_line(warehouse, grey_model, tmp_path):
    (tmp_path / "costs.csv").write_text("sku,price\n1,2\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--costs", "costs.csv")
    assert done.returncode == 2
    said = "--costs costs.csv has no column asin and no column unit_cost; its first line names them"
    assert last_line(done.stderr) == f"reconcile: {said}"


def test_a_mistyped_out_is_said_and_no_folder_is_made(tmp_path):
    for arguments in (["list"], ["export", "v.csv"]):
        done = verdicts(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "there is no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_excel_keeps_names_beyond_ascii(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"café": (1, 4)})
    run_night(bucket, grey_model, "out", "n1")
    content = Path("out/runs/n1/recount.csv").read_bytes()
    assert content.startswith("\ufeff".encode()), "by this mark Excel knows UTF-8"
    # As Excel saves it, in the encoding of the country.
    text = content.decode("utf-8-sig").replace(",,\r\n", ",4,\r\n").replace(",,\n", ",4,\n")
    Path("filled.csv").write_bytes(text.encode("cp1252"))
    assert taken("filled.csv").startswith("1 verdict taken")


def test_nothing_can_be_taken_of_a_run_of_another_version_but_of_the_others(night):
    night("n2")
    old = pd.read_parquet("out/runs/n2/reconciled.parquet").drop(columns="image_etag")
    old.to_parquet("out/runs/n2/reconciled.parquet")
    Path("v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n00003,n1,1\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stdout.startswith("1 verdict taken, 0 known already, 1 line left out")
    assert "line 2: run n2 cannot be read, or is of a version that is not known here" in done.stderr


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


def test_what_a_night_with_another_mix_teaches_is_what_it_was_judged_by(tmp_path):
    """Recounts of a night whose probabilities were corrected must not make records look wrong more often."""
    rng = np.random.default_rng(8)
    labels = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
    prior, mix, rate = np.full(7, 1 / 7), np.array([0.02, 0.4, 0.3, 0.1, 0.08, 0.05, 0.05]), 0.05
    truth = rng.choice(7, p=mix, size=6000)
    likelihoods = np.exp(-0.5 * (np.arange(7)[None] - truth[:, None] - rng.normal(0, 0.9, (6000, 1))) ** 2 / 0.81)
    photo = (likelihoods * prior / (likelihoods * prior).sum(axis=1, keepdims=True)).astype(np.float32)
    wrong = rng.random(6000) < rate
    record = np.where(wrong, np.clip(truth + rng.choice([-1, 1], 6000), 0, 6), truth)
    judged = truth_given_photo_and_record(under_another_mix(photo, prior, mix), record, labels, ErrorModel(0.03))
    p = p_wrong(judged, record)
    run = tmp_path / "out" / "runs" / "n1"
    run.mkdir(parents=True)
    night = pd.DataFrame({"bin_id": [f"{n:05d}" for n in range(6000)], "expected_quantity": record, "p_wrong": p})
    night = night.assign(image_key=night["bin_id"], image_etag="e", status="match", probabilities=list(photo))
    night.to_parquet(run / "reconciled.parquet")
    summary = {
        "labels": labels.names,
        "bucket": "b",
        "started_at": "t",
        "mix": mix.tolist(),
        "class_prior": prior.tolist(),
    }
    (run / "summary.json").write_text(json.dumps(summary))
    first = np.argsort(-p)[:1200]
    found = pd.DataFrame({"bin_id": night["bin_id"][first], "run_id": "n1", "true_count": truth[first]})
    found.to_csv("v.csv", index=False)
    assert taken("v.csv").startswith("1,200 verdicts taken")

    parts = [str(path) for path in (tmp_path / "out" / "verdicts").iterdir()]
    learned = learn_errors(ErrorModel(0.03), recounts_for(labels, parts, tmp_path), labels)
    actual = (record != truth).mean()
    assert learned.model.rate == pytest.approx(actual, rel=0.25)
    last = last_recounts("b", parts, tmp_path)
    assert (last.recounted, last.wrong) == (1200, (record != truth)[first].sum())
    assert last_recounts("another bucket", parts, tmp_path) is None


def test_a_line_whose_id_and_photo_belong_to_different_bins_is_left_out(night):
    lines = ["00009,n1,bin-images/00003.jpg,1", "3.0E+00,n1,bin-images/00003.jpg,1", "03-Jan,n1,bin-images/00004.jpg,2"]
    Path("v.csv").write_text("bin_id,run_id,image_key,true_count\n" + "\n".join(lines) + "\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 2: image_key is a photo of bin '00003', not of '00009'\n"
    assert done.stdout.startswith("2 verdicts taken"), (
        "what a spreadsheet takes for a number or a date is known by its photo"
    )


def test_a_list_that_nobody_filled_in_is_said(night):
    assert taken("out/runs/n1/recount.csv").endswith("no line has a true_count")
