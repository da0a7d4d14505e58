"""Runs by `--keys`: they count and join as runs by a listing do."""

import hashlib
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.config import load_settings
from reconcile.logs import RunLog
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.pipeline.context import open_run
from reconcile.pipeline.run import run
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from reconcile.storage.base import StoredObject
from tests.conftest import ACCESS_KEY, LABELS, SECRET_KEY, abid_record, grey_photo
from tests.integration.inputs.inventories import BINS, NOON, row, write_inventory


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
def run_once(served, grey_model, tmp_path_factory):
    """Return a function that runs once, and returns the rows by bin id and the log."""
    out = tmp_path_factory.mktemp("out")

    def run_with(name: str, **flags) -> tuple[pd.DataFrame, str]:
        values = {"bucket": "warehouse", "endpoint_url": served.endpoint_url, "model": str(grey_model), "device": "cpu"}
        values |= {"out": str(out / flags.pop("to", name)), "max_unreadable": "100%"}
        stream = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            settings = load_settings(values | flags)
            run(open_run(settings, name, RunLog("text", name, stream)))
        rows = pd.read_parquet(next(out.glob(f"*/runs/{name}/reconciled.parquet")))
        return rows.set_index("bin_id").sort_index(), stream.getvalue()

    return run_with


def etag(path) -> str:
    """Return the ETag that S3 gives to a file."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_bad_rows_of_keys_never_end_the_run(served, run_once, tmp_path):
    photos = served.root / "warehouse" / "bin-images"
    sizes = {"1": "6884.0", "2": '"6,884"', "3": "NaN"}
    lines = [f"bin-images/{name}.jpg,{etag(photos / f'{name}.jpg')},{size}" for name, size in sizes.items()]
    lines += ["bin-images/4.jpg,,1e30", "bin-images/2.jpg,other,-1", "bin-images/5.jpg", ",e,1"]
    path = tmp_path / "keys.csv"
    path.write_bytes("\n".join(["key,etag,size", *lines, ""]).encode() + b"bin-images/\x81.jpg,e,7\n")
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n1,3\n2,4\n3,5\n")
    rows, log = run_once("bad-rows", keys=str(path), records=str(tmp_path / "stock.csv"))
    assert rows["predicted_count"].dropna().to_dict() == {"1": 3, "2": 2, "3": 5}
    assert "no ETag of this one" in rows.loc["4", "reason"]
    assert "its key in the list of objects is not UTF-8 text" in rows.loc["\ufffd", "reason"]
    for number, problem in {3: "either 6.884 or 6884", 4: "not a count: NaN", 5: "not a count: 1e30"}.items():
        assert log.count(f"--keys {path} row {number}: the size is {problem}") == 1
    assert f"--keys {path} row 7: 1 cell, the header has 3; the row is left out" in log
    assert f"--keys {path} row 8: the key is missing, so the row is left out" in log


@pytest.fixture(scope="module")
def runs(served, run_once):
    """Return rows and logs of runs over the bucket, by its listing and by an inventory of yesterday."""
    warehouse = served.root / "warehouse"
    tables, logs = {}, {}

    def keep(name: str, **flags) -> None:
        tables[name], logs[name] = run_once(name, **flags)

    files = [path for path in sorted(warehouse.rglob("*.*"), reverse=True) if path.is_file()]
    rows = [row(str(path.relative_to(warehouse)), etag(path), path.stat().st_size) for path in files]
    manifest = f"s3://reports/{write_inventory(served, [rows[:4], rows[4:]], 'CSV')}"
    served.refresh()
    keep("listing")
    keep("inventory", keys=manifest)
    keep("quiet", keys=manifest, to="inventory")
    (warehouse / "bin-images" / "1.jpg").write_bytes(grey_photo(4))
    (warehouse / "bin-images" / "3.jpg").unlink()
    (warehouse / "metadata" / "4.json").write_bytes(abid_record(1))
    served.refresh()
    keep("outdated", keys=manifest)
    keep("later", to="outdated")
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
