"""`reconcile run` as people use it: over a real S3 server, from a folder, from cron, killed, and run again."""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import grey_photo, last_line, reconcile, reconcile_from_scratch, write_bucket

# bin id: (items in the photo, items on record)
BINS = {
    "00001": (2, 2),
    "00002": (3, 3),
    "00003": (1, 4),
    "00004": (5, 2),
    "00005": (6, 30),
    "00006": (4, None),
    "00007": (None, 3),
    "1": (0, 0),
}
TOTALS = {"match": 4, "short": 1, "over": 1, "no_record": 1, "no_image": 1}
TOTALS |= {"unreadable_image": 0, "invalid_record": 0, "stale": 0}


def results(out):
    """The only run under `out`, or the last: its summary and its rows."""
    folder = sorted((out / "runs").iterdir())[-1]
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return json.loads((folder / "summary.json").read_text()), rows


def statuses(rows):
    return dict(sorted(zip(rows["bin_id"], rows["status"], strict=True)))


@pytest.fixture
def warehouse(s3):
    """A bucket of eight bins on the S3 server."""
    return write_bucket(s3.root / "warehouse", BINS)


def test_a_night_from_s3_and_the_same_night_again(s3, warehouse, grey_model, tmp_path):
    arguments = ["--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out"]
    first = reconcile_from_scratch("run", *arguments, "--run-id", "a")
    assert first.returncode == 0, first.stderr
    summary, rows = results(tmp_path / "out")
    assert summary["totals"] == TOTALS
    assert summary["rows"] == len(rows) == 8
    assert (summary["images"], summary["counted"], summary["already_counted"]) == (7, 7, 0)
    printed = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in first.stdout.splitlines())
    assert printed["bins"] == "8"
    assert printed["match"] == "4"
    assert printed["records wrong"].startswith("2 expected (95 %: 2 to ")
    assert printed["no image"] == "1"
    assert printed["report"] == str(tmp_path / "out/runs/a/report.html")
    row = rows.set_index("bin_id").loc["00003"]
    assert (row["image_key"], row["record_key"]) == ("bin-images/00003.jpg", "metadata/00003.json")
    assert (row["expected_quantity"], row["predicted_count"], row["difference"]) == (4, 1, -3)
    assert row["probabilities"].sum() == pytest.approx(1, abs=1e-4)
    assert row["items"][0]["asin"] == "B0TEST"

    second = reconcile("run", *arguments, "--run-id", "b")
    again, same = results(tmp_path / "out")
    assert (again["counted"], again["already_counted"]) == (0, 7)
    assert "0 new records read" in second.stderr
    pd.testing.assert_frame_equal(rows, same)

    (warehouse / "bin-images" / "00001.jpg").write_bytes(grey_photo(5, (70, 50)))
    s3.notice_changes()
    reconcile("run", *arguments, "--run-id", "c")
    third, changed = results(tmp_path / "out")
    assert third["counted"] == 1
    assert statuses(changed) == statuses(rows) | {"00001": "over"}


def test_a_folder_gives_the_same_rows_as_the_bucket_it_is_served_as(s3, warehouse, grey_model, tmp_path):
    reconcile("run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "a")
    reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "b")
    (_, from_s3), (_, from_folder) = results(tmp_path / "a"), results(tmp_path / "b")
    # A file's time has microseconds, an object's in a listing milliseconds; and each has an etag of its own kind.
    differing = ["photographed_at", "image_etag", "record_changed_at"]
    pd.testing.assert_frame_equal(from_s3.drop(columns=differing), from_folder.drop(columns=differing))


def test_results_on_s3_are_the_same_and_are_found_again(s3, warehouse, grey_model, tmp_path):
    (s3.root / "results").mkdir()
    arguments = ["--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model]
    reconcile("run", *arguments, "--out", "local")
    for run_id in ("a", "b"):
        done = reconcile("run", *arguments, "--out", "s3://results/nightly", "--run-id", run_id)
        assert done.returncode == 0, done.stderr
        assert f"s3://results/nightly/runs/{run_id}/report.html" in done.stdout
    summary, rows = results(s3.root / "results" / "nightly")
    assert (summary["counted"], summary["already_counted"]) == (0, 7)
    pd.testing.assert_frame_equal(rows, results(tmp_path / "local")[1])


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_records_from_a_table_instead(s3, warehouse, grey_model, tmp_path, kind, place):
    stock = pd.DataFrame(
        [(name, record) for name, (_, record) in BINS.items() if record is not None], columns=["loc", "qty"]
    )
    path = s3.root / "warehouse" / f"stock.{kind}"
    if kind == "csv":
        stock.to_csv(path, index=False)
    elif kind == "parquet":
        stock.to_parquet(path)
    else:
        stock.to_json(path, orient="records", lines=True)
    source = f"s3://warehouse/stock.{kind}" if place == "s3" else path
    done = reconcile(
        "run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out",
        "--records", source, "--records-columns", "bin_id=loc,expected_quantity=qty",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary, rows = results(tmp_path / "out")
    assert summary["totals"] == TOTALS
    assert rows.set_index("bin_id").loc["00003", "record_key"] == f"{source} row {4 if kind == 'csv' else 3}"


@pytest.mark.parametrize("table", [False, True])
def test_the_limit_takes_the_first_images_and_only_their_records(warehouse, grey_model, tmp_path, table):
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n00001,2\n00002,3\n00003,4\n00007,3\n1,0\n")
    arguments = ["--records", "stock.csv"] if table else []
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--limit", 3, *arguments)
    assert done.returncode == 0, done.stderr
    assert statuses(results(tmp_path / "out")[1]) == {"00001": "match", "00002": "match", "00003": "short"}


def test_other_prefixes_and_settings_from_environment_and_file(grey_model, tmp_path):
    write_bucket(tmp_path / "pod", {"9": (3, 3)})
    (tmp_path / "pod" / "bin-images").rename(tmp_path / "pod" / "cam1")
    (tmp_path / "pod" / "metadata").rename(tmp_path / "pod" / "erp")
    (tmp_path / "reconcile.toml").write_text(f'bucket = "./pod"\nimages_prefix = "cam1/"\nmodel = "{grey_model}"\n')
    done = reconcile("run", "--out", "out", env=os.environ | {"RECONCILE_RECORDS_PREFIX": "erp/"})
    assert done.returncode == 0, done.stderr
    assert statuses(results(tmp_path / "out")[1]) == {"9": "match"}


def test_too_many_unreadable_photos_and_the_alarm_have_codes_of_their_own(warehouse, grey_model, tmp_path):
    arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", "out"]
    alarmed = reconcile(*arguments, "--alarm", "30%", "--run-id", "a")
    assert (alarmed.returncode, last_line(alarmed.stderr)) == (
        4, "reconcile: 2 of 6 compared bins are short or over: the alarm is at 30%",
    )  # fmt: skip
    assert reconcile(*arguments, "--alarm", "40%", "--run-id", "b").returncode == 0
    (warehouse / "bin-images" / "00001.jpg").write_bytes(b"")
    unreadable = reconcile(*arguments, "--alarm", "1%", "--run-id", "c")
    assert "alarm where 1% or more of the compared bins are short or over\n" in unreadable.stderr
    assert (unreadable.returncode, last_line(unreadable.stderr)) == (
        3,
        "reconcile: 1 of 7 images were unreadable, more than 5%; the object is empty (0 bytes), such as "
        "bin-images/00001.jpg; and 2 of 5 compared bins are short or over: the alarm is at 1%",
    )
    assert reconcile(*arguments, "--max-unreadable", "20%", "--run-id", "d").returncode == 0


def test_ids_that_never_meet_are_a_failure_and_no_quiet_night(warehouse, grey_model, tmp_path):
    (tmp_path / "excel.csv").write_text("bin_id,expected_quantity\n2,2\n3,3\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "excel.csv")
    assert done.returncode == 1
    said = "no photo and record are of the same bin: photos such as 00001, records such as 2"
    assert last_line(done.stderr) == f"reconcile: {said}"
    [report] = (tmp_path / "out").rglob("report.html")
    assert "Nothing could be compared" in report.read_text()


def test_ids_that_hardly_meet_are_told(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(1, 21)})
    (tmp_path / "excel.csv").write_text(
        "bin_id,expected_quantity\n00007,1\n" + "".join(f"{n},1\n" for n in range(1, 21))
    )
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "excel.csv")
    assert done.returncode == 0, done.stderr
    said = "only 1 bin could be compared; do the ids of photos and records agree?"
    assert f"warning: {said} photos such as 00001, records such as 1\n" in done.stderr


def test_ids_that_hardly_meet_are_told_of_a_first_try_too(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(1, 21)})
    (tmp_path / "excel.csv").write_text(
        "bin_id,expected_quantity\n00007,1\n" + "".join(f"{n},1\n" for n in range(1, 21))
    )
    arguments = ["--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "excel.csv"]
    done = reconcile("run", *arguments, "--limit", 15)
    assert done.returncode == 0, done.stderr
    said = "only 1 bin could be compared; do the ids of photos and records agree? photos such as 00001 have no record"
    assert f"warning: {said}\n" in done.stderr


def test_a_where_that_finds_nothing_is_told(warehouse, grey_model):
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out"]
    done = reconcile("run", *arguments, "--where", "(?P<pod>[A-Z]+)-")
    assert "warning: --where (?P<pod>[A-Z]+)-: found in no bin's id, and in no photo's key\n" in done.stderr
    done = reconcile("run", *arguments, "--where", "(?P<folder>bin)-images")
    assert done.returncode == 0, done.stderr
    assert "--where" not in done.stderr


def test_older_photos_are_no_photos_without_a_record(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"A1": (1, 1)} | {f"B{n}": (None, 1) for n in range(9)})
    for age in range(1, 12):
        older = bucket / "bin-images" / str(age)
        older.mkdir()
        (older / "A1.jpg").write_bytes(grey_photo(2) if age > 1 else b"damaged")
        os.utime(older / "A1.jpg", (0, 10**9 - age))
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--max-unreadable", "100%")
    assert done.returncode == 0, done.stderr
    assert "do the ids" not in done.stderr
    summary, rows = results(tmp_path / "out")
    assert (rows["status"] == "no_record").sum() == summary["older_photos"] == 10
    [report] = (tmp_path / "out").rglob("report.html")
    assert re.search(r"photos without a record</dt>\s*<dd[^>]*>0</dd>\s*<dd[^>]*>and 10 older ones", report.read_text())


def test_a_table_with_a_row_for_each_product_is_told_what_is_wrong(warehouse, grey_model):
    Path("stock.csv").write_text("bin_id,expected_quantity,asin\n00001,2,A\n00002,1,A\n00002,2,B\n00003,4,A\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert (done.returncode, last_line(done.stderr)) == (
        3,
        "reconcile: 1 of 3 bins on record are invalid, more than 5%; 2 records for this bin disagree: 1, 2, such as "
        "stock.csv row 3, stock.csv row 4",
    )


def test_all_that_kept_photos_and_records_apart_is_told(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"P{n}": (1, None) for n in range(3)})
    (bucket / "bin-images" / "P0.jpg").write_bytes(b"")
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    for rows, told in (
        ("P0,N/A", "no readable photo has a record that it can be held against; 1 of 1 bins on record are invalid"),
        ("X1,N/A\nX2,1", "no photo and record are of the same bin: photos such as P1, records such as X2; 1 of 2 bins "
         "on record are invalid; the expected quantity is no number: N/A, such as stock.csv row 2"),
    ):  # fmt: skip
        Path("stock.csv").write_text(f"bin_id,expected_quantity\n{rows}\n")
        done = reconcile(*arguments, "--max-unreadable", "90%")
        assert (done.returncode, last_line(done.stderr)) == (1, f"reconcile: {told}")
    Path("stock.csv").write_text("bin_id,expected_quantity\n" + "".join(f"P1,{n}\n" for n in range(3000)) + "P2,1\n")
    done = reconcile(*arguments, "--max-unreadable", "90%")
    assert done.returncode == 3
    assert len(last_line(done.stderr)) < 600


def test_rows_of_a_table_that_are_no_record_are_named(warehouse, grey_model, tmp_path):
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n00001,2\n00002,many\n,4\n00003,1\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert done.returncode == 3
    invalid = "reconcile: 2 of 4 bins on record are invalid, more than 5%"
    assert last_line(done.stderr) == f"{invalid}; the bin id is missing, such as stock.csv row 4"
    summary, _ = results(tmp_path / "out")
    assert (summary["records"], summary["invalid_records"]) == (4, 2)
    assert "warning: stock.csv row 3: the expected quantity is no number: many\n" in done.stderr
    assert "warning: stock.csv row 4: the bin id is missing\n" in done.stderr
    assert "4 rows taken from stock.csv, 2 of them could not be read\n" in done.stderr
    allowed = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv",
                        "--max-invalid", "50%")  # fmt: skip
    assert allowed.returncode == 0, allowed.stderr
    limited = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "few", "--records", "stock.csv",
                        "--limit", 1)  # fmt: skip
    assert "1 rows taken from stock.csv, 0 of them could not be read\n" in limited.stderr, (
        "those of other bins are not asked"
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "--records stock.csv is empty"),
        ("bin_id,expected_quantity\n", "there is not one record: photos such as 00001 have no record"),
        (
            "bin_id,expected_quantity\n00001,N/A\n00002,N/A\n00003,\n00004,N/A\n",
            "no readable photo has a record that it can be held against; 4 of 4 bins on record are invalid; "
            "the expected quantity is no number: N/A, such as stock.csv row 2",
        ),
    ],
    ids=["nothing", "no rows", "no quantities"],
)
def test_an_export_that_failed_fails_the_run(warehouse, grey_model, tmp_path, rows, said):
    (tmp_path / "stock.csv").write_text(rows)
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert done.returncode == 1
    assert f"reconcile: {said}" in done.stderr.splitlines()[-1]
    looked = reconcile("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert looked.returncode == 1
    if "N/A" in rows:
        assert "FAIL  records    stock.csv has 4 rows, and none is a record: the expected quantity" in looked.stdout


def test_where_no_json_record_can_be_read_the_run_fails(warehouse, grey_model):
    for record in (warehouse / "metadata").iterdir():
        record.write_text("{")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert done.returncode == 1
    assert (
        "no readable photo has a record that it can be held against; 7 of 7 bins on record are invalid; not JSON"
        in done.stderr.splitlines()[-1]
    )
    looked = reconcile("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert "but is no record: not JSON (line 1)" in looked.stdout


def test_the_endpoint_may_come_from_the_environment_as_with_the_aws_cli(s3, warehouse, grey_model):
    done = reconcile(
        "run",
        "--bucket",
        "warehouse",
        "--model",
        grey_model,
        "--out",
        "out",
        env=os.environ | {"AWS_ENDPOINT_URL": s3.endpoint_url},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("prefix", ["bins/", ""])
def test_photos_and_records_may_lie_side_by_side(grey_model, tmp_path, prefix):
    folder = write_bucket(tmp_path / "w", {"1": (1, 1), "2": (3, 5)})
    (folder / "bins").mkdir()
    for path in [*(folder / "bin-images").iterdir(), *(folder / "metadata").iterdir()]:
        path.rename(folder / "bins" / path.name)
    done = reconcile(
        "run",
        "--bucket",
        folder,
        "--model",
        grey_model,
        "--out",
        "out",
        "--images-prefix",
        prefix,
        "--records-prefix",
        prefix,
    )
    assert done.returncode == 0, done.stderr
    assert statuses(results(tmp_path / "out")[1]) == {"1": "match", "2": "short"}


def test_a_first_try_where_no_record_is_found_fails_in_one_line(warehouse, grey_model):
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out", "--records-prefix", "erp/"]
    done = reconcile("run", *arguments, "--limit", 3)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "no photo and record are of the same bin: photos such as 00001 have no record" in last


def test_value_without_known_costs_is_said(warehouse, grey_model, tmp_path):
    (tmp_path / "costs.csv").write_text("asin,unit_cost\nB0OTHER,3\n")
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out", "--rank-by", "value"]
    done = reconcile("run", *arguments, "--costs", "costs.csv")
    assert done.returncode == 0, done.stderr
    assert "6 of 6 bins in the queue have no item whose cost is known" in done.stderr


def test_every_column_and_number_is_explained(warehouse, grey_model, tmp_path):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert done.returncode == 0, done.stderr
    summary, rows = results(tmp_path / "out")
    text = (Path(__file__).parents[2] / "docs" / "COLUMNS.md").read_text(encoding="utf-8")
    explained = [
        {
            name
            for line in part.splitlines()
            if line.startswith("| `")
            for name in re.findall("`(.+?)`", line.split("|")[1])
        }
        for part in text.split("\n## ")[1:]
    ]
    listed = pd.read_csv(next((tmp_path / "out").rglob("recount.csv")))
    assert explained == [set(rows.columns), set(listed.columns), set(summary)]
