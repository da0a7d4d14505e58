"""Acceptance: 1,401 real photos and their records, over S3, with the shipped model."""

import csv
import json

import pandas as pd
import pytest

from reconcile.resources import resource
from tests.conftest import SHARED, needs_abid, reconcile, reconcile_from_scratch

pytestmark = [
    needs_abid,
    pytest.mark.skipif(not list(resource("models").glob("*.onnx")), reason="no model is shipped"),
]


@pytest.fixture(scope="module")
def served(start_s3_server):
    return start_s3_server(SHARED)


@pytest.fixture(scope="module")
def first(served, tmp_path_factory):
    """Return the output folder of a run over all photos, and the finished process."""
    out = tmp_path_factory.mktemp("night")
    from tests.conftest import ACCESS_KEY, SECRET_KEY

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        done = reconcile_from_scratch(
            "run", "--bucket", "night", "--endpoint-url", served.endpoint_url, "--out", out, "--run-id", "first"
        )
    assert done.returncode == 0, done.stderr
    return out, done


def rows_of(out, run_id):
    return pd.read_parquet(out / "runs" / run_id / "reconciled.parquet")


def summary_of(out, run_id):
    return json.loads((out / "runs" / run_id / "summary.json").read_text())


def test_every_photo_and_record_is_in_one_row(first):
    out, _ = first
    rows, summary = rows_of(out, "first"), summary_of(out, "first")
    assert len(rows) == summary["rows"] == summary["images"] == summary["counted"] == 1401
    assert rows["image_key"].nunique() == rows["record_key"].nunique() == 1401
    assert sum(summary["totals"].values()) == 1401
    assert summary["totals"]["match"] + summary["totals"]["short"] + summary["totals"]["over"] == 1401
    with (SHARED / "night" / "labels.csv").open() as file:
        quantities = {row["image"].removesuffix(".jpg"): int(row["count"]) for row in csv.DictReader(file)}
    assert dict(zip(rows["bin_id"], rows["expected_quantity"], strict=True)) == quantities


def test_second_run_counts_nothing(first, served):
    out, _ = first
    done = reconcile(
        "run", "--bucket", "night", "--endpoint-url", served.endpoint_url, "--out", out, "--run-id", "second"
    )
    assert done.returncode == 0, done.stderr
    assert summary_of(out, "second")["counted"] == 0
    pd.testing.assert_frame_equal(rows_of(out, "second"), rows_of(out, "first"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table_and_json_records_give_the_same_statuses(first, served, kind, tmp_path):
    out, _ = first
    stock = pd.read_csv(SHARED / "night" / "labels.csv", dtype=str)[["image", "count"]]
    path = tmp_path / f"stock.{kind}"
    stock.to_csv(path, index=False) if kind == "csv" else stock.to_parquet(path)
    done = reconcile(
        "run", "--bucket", "night", "--endpoint-url", served.endpoint_url, "--out", out, "--run-id", kind,
        "--records", path, "--records-columns", "bin_id=image,expected_quantity=count",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert summary_of(out, kind)["totals"] == summary_of(out, "first")["totals"]
    assert summary_of(out, kind)["counted"] == 0


def test_folder_and_bucket_give_the_same_counts(first, tmp_path):
    out, _ = first
    done = reconcile(
        "run", "--bucket", SHARED / "night", "--out", tmp_path / "folder", "--run-id", "x", "--limit", 300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The other columns depend on the distribution of counts among all photos.
    columns = ["image_key", "record_key", "expected_quantity", "predicted_label", "predicted_count", "difference"]
    other = rows_of(tmp_path / "folder", "x").set_index("bin_id")[columns].sort_index()
    same = rows_of(out, "first").set_index("bin_id")[columns].loc[other.index]
    assert len(other) == 300
    pd.testing.assert_frame_equal(other, same)
