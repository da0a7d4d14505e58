"""`--keys`: an S3 Inventory or a table of keys replaces the listing of a bucket."""

import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from reconcile.config import load_settings
from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.key_list import KeyList
from reconcile.logs import RunLog
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.pipeline.context import open_run
from reconcile.pipeline.run import run
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from reconcile.storage.base import FetchError, S3Access, StoredObject
from reconcile.storage.open import open_bucket
from tests.conftest import ACCESS_KEY, LABELS, SECRET_KEY, abid_record, grey_photo, reconcile, write_bucket

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("bucket", pa.string()), ("key", pa.string()), ("version_id", pa.string()), ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()), ("size", pa.int64()), ("last_modified_date", pa.timestamp("ms")),
        ("e_tag", pa.string()), ("storage_class", pa.string()),
    ]
)  # fmt: skip
CSV_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
BINS = {"1": (3, 3), "2": (2, 4), "3": (5, 5), "4": (1, None), "5": (None, 2)}


def row(key: str, etag: str | None = "e", size: int | None = 10, **changes) -> dict:
    """Return an object as a row of an inventory."""
    columns = {"bucket": "warehouse", "key": key, "version_id": "v", "is_latest": True, "is_delete_marker": False}
    return columns | {"size": size, "last_modified_date": NOON, "e_tag": etag, "storage_class": "STANDARD"} | changes


def data_file(rows: list[dict], file_format: str) -> bytes:
    """Return the bytes of one data file of an inventory, as S3 writes it."""
    if file_format == "CSV":
        lines = []
        for values in rows:
            cells = values | {
                "key": quote_plus(values["key"], safe="/"),
                "last_modified_date": "2026-01-02T12:00:00.000Z",
            }
            cells |= {name: str(values[name]).lower() for name in ("is_latest", "is_delete_marker")}
            lines.append(",".join(f'"{"" if cell is None else cell}"' for cell in cells.values()))
        return gzip.compress("\n".join(lines).encode())
    table, sink = pa.Table.from_pylist(rows, SCHEMA), io.BytesIO()
    pq.write_table(table, sink) if file_format == "Parquet" else orc.write_table(table, sink)
    return sink.getvalue()


def write_inventory(served, files: list[list[dict]], file_format: str = "Parquet", **changes) -> str:
    """Write an inventory into the bucket `reports`, as S3 does, and return the key of its manifest."""
    reports = served.root / "reports"
    ending = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}[file_format]
    entries = []
    for number, rows in enumerate(files):
        data = data_file(rows, file_format)
        key = f"nightly/warehouse/all/data/{number}.{ending}"
        (reports / key).parent.mkdir(parents=True, exist_ok=True)
        (reports / key).write_bytes(data)
        entries.append({"key": key, "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()})
    manifest = {
        "sourceBucket": "warehouse", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
        "creationTimestamp": str(int((datetime.now(UTC) - timedelta(hours=22)).timestamp() * 1000)),
        "fileFormat": file_format, "fileSchema": CSV_SCHEMA if file_format == "CSV" else "…", "files": entries,
    } | changes  # fmt: skip
    key = "nightly/warehouse/all/2026-01-02T12-00Z/manifest.json"
    (reports / key).parent.mkdir(parents=True, exist_ok=True)
    (reports / key).write_text(json.dumps(manifest))
    served.refresh()
    return key


@pytest.fixture(scope="module")
def served(start_s3_server, tmp_path_factory):
    """Return an S3 server with the buckets `warehouse` and `reports`. The inventories are in `reports`."""
    root = tmp_path_factory.mktemp("keys")
    write_bucket(root / "warehouse", BINS)
    (root / "reports").mkdir()
    return start_s3_server(root)


@pytest.fixture
def access(served):
    return S3Access(endpoint_url=served.endpoint_url)


def listed(keys: KeyList, prefix: str = "bin-images/") -> list[dict]:
    """Return all objects under a prefix."""
    return [stored for page in keys.list_pages(prefix) for stored in page.to_pylist()]


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


def test_files_are_downloaded_one_at_a_time_and_deleted(served, access, tmp_path):
    manifest = write_inventory(served, [[row(f"bin-images/{n}.jpg")] for n in range(3)])
    pages = KeyList(f"s3://reports/{manifest}", access, open_bucket("warehouse", access), tmp_path).list_pages(
        "bin-images/"
    )
    downloaded = [[path.name for path in tmp_path.rglob("*.parquet")] for _ in pages]
    assert downloaded == [["1.parquet"]] * 3, "one copy at a time, named by a number and not by its key"
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("keys.csv", b"name,etag\nx,y\n", r"has no column key \(its columns: name, etag\)"),
        ("keys.csv", b"key,size\nx,1\n", "has no column etag"),
        ("keys.csv", b"", "has no column key and no column etag"),
        ("keys.csv", b"key,etag\na,b\nc\n", "cannot be read: CSV parse error"),
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


def test_doctor_checks_the_bucket_of_the_manifest(served, tmp_path):
    keys = f"s3://reports/{write_inventory(served, [[]], sourceBucket='other')}"
    arguments = ["doctor", "--bucket", "warehouse", "--endpoint-url", served.endpoint_url, "--out", tmp_path / "out"]
    completed = reconcile(*arguments, "--keys", keys, "--batch-size", 4)
    assert completed.returncode == 1
    assert f"FAIL  keys       --keys {keys} is an inventory of the bucket other" in completed.stdout


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


def test_download_writes_an_object_to_a_file(served, access, tmp_path):
    (served.root / "reports" / "large").write_bytes(3_000_000 * b"x")
    served.refresh()
    reports = open_bucket("reports", access)
    reports.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == 3_000_000 * b"x"
    for bucket in (reports, open_bucket(f"{served.root}/reports", access)):
        with pytest.raises(FetchError, match=r"does not exist \(any more\)"):
            bucket.download("nothing", tmp_path / "copy")


def test_unordered_keys_are_compared_with_all_counted_keys(tmp_path):
    known = [f"i/{n}.jpg" for n in range(40)]
    counts = [{"image_key": key, "etag": "e", "try_again": key == "i/7.jpg"} for key in known]
    pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), tmp_path / "counts.parquet")
    parts = StoredParts(counts=[str(tmp_path / "counts.parquet")])
    reconciler = Reconciler(tmp_path, LABELS, JsonRecords(), parts)
    shuffled = [n * 37 % 50 for n in range(50)]  # the 40 known and 10 new ones
    rows = [{"key": f"i/{n}.jpg", "size": 1, "etag": "new" if n == 5 else "e", "modified": NOON} for n in shuffled]
    pages = (pa.Table.from_pylist(rows[start : start + 7]) for start in range(0, 50, 7))
    new = [stored for page in reconciler.new_images(pages, None) for stored in page]
    assert sorted(stored.key for stored in new) == sorted(f"i/{n}.jpg" for n in (5, 7, *range(40, 50)))
    assert reconciler.image_count == 50
    assert new[0] == StoredObject(new[0].key, 1, "e", NOON)
    reconciler.close()


@pytest.fixture(scope="module")
def runs(served, grey_model, tmp_path_factory):
    """Return rows and logs of runs over the bucket, by its listing and by an inventory of yesterday."""
    root, out = served.root, tmp_path_factory.mktemp("out")
    warehouse = root / "warehouse"
    logs: dict[str, str] = {}

    def run_once(name: str, **flags) -> pd.DataFrame:
        values = {"bucket": "warehouse", "endpoint_url": served.endpoint_url, "model": str(grey_model), "device": "cpu"}
        values |= {"out": str(out / flags.pop("to", name)), "max_unreadable": "100%"}
        stream = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            settings = load_settings(values | flags)
            run(open_run(settings, name, RunLog("text", name, stream)))
        logs[name] = stream.getvalue()
        rows = pd.read_parquet(next(out.glob(f"*/runs/{name}/reconciled.parquet")))
        return rows.set_index("bin_id").sort_index()

    def etag(path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    files = [path for path in sorted(warehouse.rglob("*.*"), reverse=True) if path.is_file()]
    rows = [row(str(path.relative_to(warehouse)), etag(path), path.stat().st_size) for path in files]
    manifest = f"s3://reports/{write_inventory(served, [rows[:4], rows[4:]], 'CSV')}"
    served.refresh()
    tables = {"listing": run_once("listing"), "inventory": run_once("inventory", keys=manifest)}
    tables["quiet"] = run_once("quiet", keys=manifest, to="inventory")
    (warehouse / "bin-images" / "1.jpg").write_bytes(grey_photo(4))
    (warehouse / "bin-images" / "3.jpg").unlink()
    (warehouse / "metadata" / "4.json").write_bytes(abid_record(1))
    served.refresh()
    tables["outdated"] = run_once("outdated", keys=manifest)
    tables["later"] = run_once("later", to="outdated")
    return tables, logs


def test_run_by_an_inventory_equals_a_run_by_a_listing(runs):
    tables, logs = runs
    times = ["photographed_at", "record_changed_at"]
    both = [tables[name].drop(columns=times) for name in ("listing", "inventory")]
    pd.testing.assert_frame_equal(*both)
    assert len(both[0]) == len(BINS)
    assert "keys from the inventory of" in logs["inventory"]
    assert "4 photos counted" in logs["inventory"]


def test_second_run_by_the_same_inventory_counts_nothing(runs):
    tables, logs = runs
    pd.testing.assert_frame_equal(tables["quiet"], tables["inventory"])
    assert "0 photos counted" in logs["quiet"]


def test_objects_changed_since_the_inventory_are_tried_again(runs):
    tables, _ = runs
    reasons = tables["outdated"]["reason"].dropna()
    assert "the object changed after it was listed" in reasons["1"]
    assert "the object does not exist" in reasons["3"]
    assert list(tables["outdated"].index) == list(BINS)
    assert tables["later"]["predicted_count"].dropna().to_dict() == {"1": 4, "2": 2, "4": 1}
    assert tables["later"].loc["3", "status"] == "no_image"
