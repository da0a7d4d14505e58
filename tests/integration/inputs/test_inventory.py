"""`--keys` with the manifest of an S3 Inventory."""

import pytest

from reconcile.errors import ReconcileError
from reconcile.inputs.key_list import KeyList
from reconcile.storage.base import FetchError
from reconcile.storage.open import open_bucket
from tests.conftest import reconcile
from tests.integration.inputs.inventories import NOON, listed, row, write_inventory


@pytest.mark.parametrize("file_format", ["CSV", "Parquet", "ORC"])
def test_inventory_lists_exactly_the_current_objects(file_format, served, access, tmp_path):
    odd = ["bin-images/a b+c%.jpg", "bin-images/ü,\"q'.jpg", "bin-images/deep/down/1.jpg"]
    files = [
        [row(odd[0], etag='"quoted"'), row("bin-images/", size=0), row("bin-images-too/no.jpg")],
        [
            row(odd[1]), row(odd[2]), row("bin-images/old.jpg", is_latest=False),
            row("bin-images/gone.jpg", etag=None, size=None, is_delete_marker=True),
            row("bin-images/empty.jpg", size=0), row("metadata/1.json", size=7),
        ],
    ]  # fmt: skip
    manifest = write_inventory(served, files, file_format)
    bucket = open_bucket("warehouse", access)
    keys = KeyList(f"s3://reports/{manifest}", access, bucket, tmp_path)
    objects = listed(keys)
    assert [stored["key"] for stored in objects] == [*odd, "bin-images/empty.jpg"]
    assert objects[0] == {"key": odd[0], "size": 10, "etag": "quoted", "modified": NOON}
    assert listed(keys, "metadata/") == [{"key": "metadata/1.json", "size": 7, "etag": "e", "modified": NOON}]
    assert f"(22 hours old, 2 {file_format} files); later photos are not in it" in keys.describe()
    # A copy of the report on this machine lists the same objects.
    copy = KeyList(str(served.root / "reports" / manifest), access, bucket, tmp_path)
    assert listed(copy) == objects


def test_files_are_downloaded_one_at_a_time_and_deleted(served, access, tmp_path):
    manifest = write_inventory(served, [[row(f"bin-images/{n}.jpg")] for n in range(3)])
    pages = KeyList(f"s3://reports/{manifest}", access, open_bucket("warehouse", access), tmp_path).list_pages(
        "bin-images/"
    )
    downloaded = [[path.name for path in tmp_path.rglob("*.parquet")] for _ in pages]
    assert downloaded == [["1.parquet"]] * 3, "one copy at a time, named by a number and not by its key"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), r"data/1\.csv\.gz: the object does not exist"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), r"data/1\.csv\.gz has \d+ bytes, but the mani"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), r"data/1\.csv\.gz is damaged"),
    ],
)  # fmt: skip
def test_missing_or_damaged_file_ends_the_listing(change, message, served, access, tmp_path):
    manifest = write_inventory(served, [[row("bin-images/1.jpg")], [row("bin-images/2.jpg")]], "CSV")
    change(served.root / "reports/nightly/warehouse/all/data/1.csv.gz")
    served.refresh()
    keys = KeyList(f"s3://reports/{manifest}", access, open_bucket("warehouse", access), tmp_path)
    with pytest.raises(ReconcileError, match=message):
        listed(keys)


def test_doctor_checks_the_bucket_of_the_manifest(served, tmp_path):
    keys = f"s3://reports/{write_inventory(served, [[]], sourceBucket='other')}"
    arguments = ["doctor", "--bucket", "warehouse", "--endpoint-url", served.endpoint_url, "--out", tmp_path / "out"]
    completed = reconcile(*arguments, "--keys", keys, "--batch-size", 4)
    assert completed.returncode == 1
    assert f"FAIL  keys       --keys {keys} is an inventory of the bucket other" in completed.stdout


def test_download_writes_an_object_to_a_file(served, access, tmp_path):
    (served.root / "reports" / "large").write_bytes(3_000_000 * b"x")
    served.refresh()
    reports = open_bucket("reports", access)
    reports.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == 3_000_000 * b"x"
    for bucket in (reports, open_bucket(f"{served.root}/reports", access)):
        with pytest.raises(FetchError, match=r"does not exist \(any more\)"):
            bucket.download("nothing", tmp_path / "copy")
