"""`reconcile demo`, on the public bucket and on drawn bins."""

import json

import boto3
import pandas as pd
import pytest

from reconcile.datasets.sample_bucket import write_sample_bucket
from reconcile.pipeline import demo
from reconcile.resources import resource
from tests.conftest import reconcile_from_scratch

needs_model = pytest.mark.skipif(not list(resource("models").glob("*.onnx")), reason="no model is shipped")


@needs_model
def test_demo_when_public_bucket_is_silent_counts_drawn_bins(tmp_path, monkeypatch):
    # A proxy on a port where nothing listens makes sure that the bucket does not answer.
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    # The demo must ignore the settings of real runs.
    (tmp_path / "reconcile.toml").write_text('images_prefix = "cam1/"\nlimit = 3\n')
    done = reconcile_from_scratch("demo", "--out", "first night")
    assert done.returncode == 0, done.stderr
    assert "does not answer. This run counts 200 drawings instead of photos." in done.stderr
    [folder] = (tmp_path / "first night/out/runs").iterdir()
    assert done.stdout.splitlines()[-1] == f"Open {(folder / 'report.html').as_uri()}"
    assert "This run counts 200 drawings instead of photos." in (folder / "report.html").read_text()
    totals = json.loads((folder / "summary.json").read_text())["totals"]
    assert sum(totals.values()) == 200
    assert (totals["no_image"], totals["no_record"], totals["unreadable_image"], totals["invalid_record"]) == (
        3,
        2,
        3,
        3,
    )
    rows = pd.read_parquet(folder / "reconciled.parquet").set_index("bin_id")
    compared = rows[rows["status"].isin(["match", "short", "over"])]
    wrong = [f"{number:05d}" for number in [*range(10, 16), *range(40, 44)]]
    correct = compared.drop(index=wrong)
    # The model was also trained on drawings, so it counts most of them as recorded unless the record was changed.
    assert (correct["status"] == "match").mean() > 0.6
    assert compared.loc[wrong, "p_wrong"].median() > 5 * correct["p_wrong"].median()


def test_demo_uses_the_public_bucket_if_it_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "public_bucket_answers", lambda: True)
    values, notice = demo.demo_settings(tmp_path)
    assert (values["bucket"], values["no_sign_request"], values["limit"]) == ("aft-vbi-pds", True, 200)
    assert "public bucket aft-vbi-pds" in notice


def test_public_bucket_is_asked_at_the_address_of_a_run(moto, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert not demo.public_bucket_answers()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.endpoint_url)
    assert not demo.public_bucket_answers()
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=demo.PUBLIC_BUCKET)
    client.put_object(Bucket=demo.PUBLIC_BUCKET, Key="bin-images/1.jpg", Body=b"photo")
    assert demo.public_bucket_answers()


def test_sample_bucket_is_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        write_sample_bucket(tmp_path / name, 120)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 200
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    times = [(tmp_path / "a" / file).stat().st_mtime_ns for file in files]
    write_sample_bucket(tmp_path / "a", 120)
    assert [(tmp_path / "a" / file).stat().st_mtime_ns for file in files] == times, "verdicts stay valid"


def test_wrong_records_of_the_sample_can_be_seen_in_photos(tmp_path):
    write_sample_bucket(tmp_path, 120)
    records = {number: json.loads((tmp_path / f"metadata/{number:05d}.json").read_text()) for number in range(10, 16)}
    # The record has two or three more than the photo. A record of 9 or more could match a photo of 6 or more.
    assert all(record["EXPECTED_QUANTITY"] <= 8 for record in records.values())
