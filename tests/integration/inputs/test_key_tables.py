"""`--keys` with a table of keys and ETags."""

import gzip
import hashlib

import pandas as pd
import pytest

from reconcile.config import load_settings
from reconcile.doctor.inputs import check_inputs
from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.key_list import KeyList
from reconcile.storage.open import open_bucket
from tests.conftest import ACCESS_KEY, SECRET_KEY
from tests.integration.inputs.inventories import NOON, listed, row, write_inventory


def test_keys_are_relative_to_the_prefix_of_the_bucket(served, access, tmp_path):
    rows = [row("site-1/bin-images/1.jpg"), row("site-10/bin-images/2.jpg"), row("bin-images/3.jpg")]
    manifest = write_inventory(served, [rows])
    bucket = open_bucket("s3://warehouse/site-1", access)
    objects = listed(KeyList(f"s3://reports/{manifest}", access, bucket, tmp_path))
    assert [stored["key"] for stored in objects] == ["bin-images/1.jpg"]
    table = tmp_path / "keys.csv"
    table.write_text("Key;ETag\nsite-1/bin-images/1.jpg;a\nbin-images/2.jpg;b\nother/3.jpg;c\n")
    objects = listed(KeyList(str(table), access, bucket, tmp_path))
    expected = [("bin-images/1.jpg", "a"), ("bin-images/2.jpg", "b")]
    assert [(stored["key"], stored["etag"]) for stored in objects] == expected


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_table_of_keys_and_etags_is_read(ending, access, tmp_path):
    table = pd.DataFrame(
        {
            "object_key": ["bin-images/b.jpg", "bin-images/a.jpg"],
            "eTag": ['"1"', "2-3"],
            "Last Modified": ["2026-01-02 12:00:00+00:00", "no date"],
            "more": [1, 2],
        }
    )
    path = tmp_path / f"keys.{ending}"
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    assert listed(KeyList(str(path), access, open_bucket("warehouse", access), tmp_path)) == [
        {"key": "bin-images/b.jpg", "size": -1, "etag": "1", "modified": NOON},
        {"key": "bin-images/a.jpg", "size": -1, "etag": "2-3", "modified": None},
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
@pytest.mark.parametrize("missing", [False, True])
def test_numeric_time_in_any_unit_is_read(ending, unit, missing, access, tmp_path):
    times = [int(NOON.timestamp()) * unit, None if missing else 20260102]
    table = pd.DataFrame({"key": ["a", "b"], "etag": ["1", "2"], "last_modified": times})
    path = tmp_path / f"keys.{ending}"
    table.to_parquet(path) if ending == "parquet" else table.to_csv(path, index=False)
    objects = listed(KeyList(str(path), access, open_bucket("warehouse", access), tmp_path), "")
    assert [stored["modified"] for stored in objects] == [NOON, None if missing else NOON.replace(hour=0)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("keys.csv", b"name,etag\nx,y\n", r"has no column key \(its columns: name, etag\)"),
        ("keys.csv", b"key,size\nx,1\n", "has no column etag"),
        ("keys.csv", b"", "is empty"),
        ("keys.csv", b"key,etag,bucket\na,b,other\n", "has keys of the bucket other, not of warehouse"),
        ("keys.csv.gz", gzip.compress(b"key,etag\n" + 5000 * b"a,b\n", mtime=0)[:-12], "cannot be read"),
        ("keys.parquet", b"PAR1 and no more", "cannot be read"),
        ("keys.orc", b"ORC and no more", "cannot be read"),
        ("manifest.json", b"{}", "is not an S3 Inventory manifest: it lacks 'sourceBucket'"),
        ("manifest.json", b"[", "is not an S3 Inventory manifest"),
    ],
)
def test_file_without_keys_raises_one_line(name, content, message, access, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReconcileError, match=message):
        listed(KeyList(str(tmp_path / name), access, open_bucket("warehouse", access), tmp_path))


def test_impossible_keys_are_refused_before_reading(served, access, tmp_path):
    bucket = open_bucket("warehouse", access)
    (tmp_path / "keys.txt").write_text("key,etag\n")
    with pytest.raises(UsageError, match=r"expected manifest\.json, or a file ending in \.csv"):
        KeyList(str(tmp_path / "keys.txt"), access, bucket, tmp_path)
    with pytest.raises(UsageError, match="is a folder; leave out --keys"):
        KeyList("keys.csv", access, open_bucket(f"{tmp_path}/", access), tmp_path)
    with pytest.raises(ReconcileError, match=r"there is no file keys\.csv"):
        KeyList("keys.csv", access, bucket, tmp_path)
    manifest = write_inventory(served, [], sourceBucket="other")
    with pytest.raises(ReconcileError, match="is an inventory of the bucket other, not of warehouse"):
        KeyList(f"s3://reports/{manifest}", access, bucket, tmp_path)
    manifest = write_inventory(served, [], fileFormat="Avro")
    with pytest.raises(ReconcileError, match="inventory files in Avro; configure the inventory to write Parquet"):
        KeyList(f"s3://reports/{manifest}", access, bucket, tmp_path)


def test_doctor_names_rows_of_keys_that_cannot_be_used(served, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    photo = served.root / "warehouse" / "bin-images" / "2.jpg"
    etag = hashlib.md5(photo.read_bytes()).hexdigest()
    (tmp_path / "keys.csv").write_text(f"key,etag,size\nbin-images/2.jpg,{etag},NaN\nshort\n")
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n2,3\n")
    keys, records = str(tmp_path / "keys.csv"), str(tmp_path / "stock.csv")
    values = {"bucket": "warehouse", "endpoint_url": served.endpoint_url, "keys": keys, "records": records}
    results = [(result.subject, result.status, result.text) for result in check_inputs(load_settings(values))]
    doubts = [text for name, status, text in results if (name, status) == ("keys", "?")]
    assert doubts == [
        f"--keys {keys} row 3: 1 cell, the header has 3; the row is left out",
        f"--keys {keys} row 2: the size is not a count: NaN; the size of the object counts as unknown",
    ]
    assert not [text for _, status, text in results if status == "FAIL"]
