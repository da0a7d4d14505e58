"""`reconcile run` as people use it: over a real S3 server and over a folder, and again after a change."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import grey_photo, reconcile, reconcile_from_scratch, write_bucket
from tests.integration.runs.small_warehouse import BINS, results, statuses

TOTALS = {"match": 4, "short": 1, "over": 1, "no_record": 1, "no_image": 1}
TOTALS |= {"unreadable_image": 0, "invalid_record": 0, "stale": 0}


def test_second_run_over_s3_counts_only_changed_photos(s3, warehouse, grey_model, tmp_path):
    arguments = ["--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out"]
    first = reconcile_from_scratch("run", *arguments, "--run-id", "a")
    assert first.returncode == 0, first.stderr
    summary, rows = results(tmp_path / "out")
    assert summary["totals"] == TOTALS
    assert summary["rows"] == len(rows) == 8
    assert (summary["images"], summary["counted"], summary["already_counted"]) == (7, 7, 0)
    printed = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in first.stdout.splitlines())
    assert printed["Bins"] == "8"
    assert printed["Match"] == "4"
    assert printed["Records probably wrong"].startswith("2 (95% interval: 2 to ")
    assert printed["No photo"] == "1"
    assert printed["Report"] == str(tmp_path / "out/runs/a/report.html")
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
    s3.refresh()
    reconcile("run", *arguments, "--run-id", "c")
    third, changed = results(tmp_path / "out")
    assert third["counted"] == 1
    assert statuses(changed) == statuses(rows) | {"00001": "over"}


def test_folder_and_bucket_give_the_same_rows(s3, warehouse, grey_model, tmp_path):
    reconcile("run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "a")
    reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "b")
    (_, from_s3), (_, from_folder) = results(tmp_path / "a"), results(tmp_path / "b")
    # Files and listed objects have different ETags, and times of different precision.
    differing = ["photographed_at", "image_etag", "record_changed_at"]
    pd.testing.assert_frame_equal(from_s3.drop(columns=differing), from_folder.drop(columns=differing))


def test_results_on_s3_equal_local_results(s3, warehouse, grey_model, tmp_path):
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


@pytest.mark.parametrize("location", ["local", "s3"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_table_of_records_gives_the_expected_statuses(s3, warehouse, grey_model, tmp_path, kind, location):
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
    source = f"s3://warehouse/stock.{kind}" if location == "s3" else path
    done = reconcile(
        "run", "--bucket", "warehouse", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out",
        "--records", source, "--records-columns", "bin_id=loc,expected_quantity=qty",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary, rows = results(tmp_path / "out")
    assert summary["totals"] == TOTALS
    assert rows.set_index("bin_id").loc["00003", "record_key"] == f"{source} row {4 if kind == 'csv' else 3}"


@pytest.mark.parametrize("table", [False, True])
def test_limit_takes_first_images_and_only_their_records(warehouse, grey_model, tmp_path, table):
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n00001,2\n00002,3\n00003,4\n00007,3\n1,0\n")
    arguments = ["--records", "stock.csv"] if table else []
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--limit", 3, *arguments)
    assert done.returncode == 0, done.stderr
    assert statuses(results(tmp_path / "out")[1]) == {"00001": "match", "00002": "match", "00003": "short"}


def test_prefixes_from_environment_and_file_are_used(grey_model, tmp_path):
    write_bucket(tmp_path / "pod", {"9": (3, 3)})
    (tmp_path / "pod" / "bin-images").rename(tmp_path / "pod" / "cam1")
    (tmp_path / "pod" / "metadata").rename(tmp_path / "pod" / "erp")
    (tmp_path / "reconcile.toml").write_text(f'bucket = "./pod"\nimages_prefix = "cam1/"\nmodel = "{grey_model}"\n')
    done = reconcile("run", "--out", "out", env=os.environ | {"RECONCILE_RECORDS_PREFIX": "erp/"})
    assert done.returncode == 0, done.stderr
    assert statuses(results(tmp_path / "out")[1]) == {"9": "match"}


def test_rarely_matching_ids_give_a_warning(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(1, 21)})
    (tmp_path / "excel.csv").write_text(
        "bin_id,expected_quantity\n00007,1\n" + "".join(f"{n},1\n" for n in range(1, 21))
    )
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "excel.csv")
    assert done.returncode == 0, done.stderr
    warning = "only 1 bin could be compared; check that photos and records use the same bin ids"
    assert f"warning: {warning} (photos such as 00001, records such as 1)\n" in done.stderr


def test_rarely_matching_ids_of_a_limited_run_give_a_warning(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"{n:05d}": (1, None) for n in range(1, 21)})
    (tmp_path / "excel.csv").write_text(
        "bin_id,expected_quantity\n00007,1\n" + "".join(f"{n},1\n" for n in range(1, 21))
    )
    arguments = ["--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "excel.csv"]
    done = reconcile("run", *arguments, "--limit", 15)
    assert done.returncode == 0, done.stderr
    warning = "only 1 bin could be compared; check that photos and records use the same bin ids"
    assert f"warning: {warning} (photos such as 00001 have no record)\n" in done.stderr


def test_where_without_match_gives_a_warning(warehouse, grey_model):
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out"]
    done = reconcile("run", *arguments, "--where", "(?P<pod>[A-Z]+)-")
    assert "warning: --where (?P<pod>[A-Z]+)-: the pattern matches no bin id and no photo key\n" in done.stderr
    done = reconcile("run", *arguments, "--where", "(?P<folder>bin)-images")
    assert done.returncode == 0, done.stderr
    assert "--where" not in done.stderr


def test_older_photos_do_not_count_as_photos_without_record(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"A1": (1, 1)} | {f"B{n}": (None, 1) for n in range(9)})
    for age in range(1, 12):
        older = bucket / "bin-images" / str(age)
        older.mkdir()
        (older / "A1.jpg").write_bytes(grey_photo(2) if age > 1 else b"damaged")
        os.utime(older / "A1.jpg", (0, 10**9 - age))
    done = reconcile("run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--max-unreadable", "100%")
    assert done.returncode == 0, done.stderr
    assert "use the same bin ids" not in done.stderr
    summary, rows = results(tmp_path / "out")
    assert (rows["status"] == "no_record").sum() == summary["older_photos"] == 10
    [report] = (tmp_path / "out").rglob("report.html")
    tile = r"photos without a record</dt>\s*<dd[^>]*>0</dd>\s*<dd[^>]*>and 10 older photos"
    assert re.search(tile, report.read_text())


def test_endpoint_from_the_aws_environment_is_used(s3, warehouse, grey_model):
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
def test_photos_and_records_under_one_prefix_are_separated(grey_model, tmp_path, prefix):
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


def test_unknown_costs_give_a_warning(warehouse, grey_model, tmp_path):
    (tmp_path / "costs.csv").write_text("asin,unit_cost\nB0OTHER,3\n")
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out", "--rank-by", "value"]
    done = reconcile("run", *arguments, "--costs", "costs.csv")
    assert done.returncode == 0, done.stderr
    assert "6 of 6 bins in the queue have no item with a known cost" in done.stderr


def test_every_column_and_key_is_documented(warehouse, grey_model, tmp_path):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert done.returncode == 0, done.stderr
    summary, rows = results(tmp_path / "out")
    text = (Path(__file__).parents[3] / "docs" / "reference" / "files-and-columns.md").read_text(encoding="utf-8")
    documented = {
        part.splitlines()[0]: {
            name
            for line in part.splitlines()
            if line.startswith("| `")
            for name in re.findall("`(.+?)`", line.split("|")[1])
        }
        for part in text.split("\n## ")[1:]
    }
    recount_list = pd.read_csv(next((tmp_path / "out").rglob("recount.csv")))
    assert documented["reconciled.parquet"] == set(rows.columns)
    assert documented["recount.csv"] == set(recount_list.columns)
    assert documented["summary.json"] == set(summary)
