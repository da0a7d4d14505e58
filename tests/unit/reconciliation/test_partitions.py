"""Joining part by part gives the same rows, in the same order, as joining all rows together."""

import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.database import open_database
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.scoring import DiscrepancyScorer
from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.unit_costs import COSTS_SCHEMA
from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords, RecordSource, TableRecords
from reconcile.storage.base import StoredObject
from tests.conftest import LABELS

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BINS = 300


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with counts, records, verdicts and a table of stock, the listed images, and the record keys."""
    folder, random_ = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    bins = [f"{number:05d}" for number in range(BINS)]
    images, counts, records, verdicts = [], [], [], []
    for number, name in enumerate(bins):
        kind = number % 20
        item = {"asin": f"B{number % 7}", "name": "thing", "quantity": number % 3 + 1}
        record = {"record_key": f"r/{name}.json", "etag": "e", "bin_id": name, "expected_quantity": number % 8}
        record |= {"items": [item] * (number % 3), "try_again": False, "read_at": NOW}
        if kind == 1:
            record |= {"expected_quantity": None, "items": None, "reason": "not JSON"}
        if kind != 2:
            records.append(record)
        if kind == 3:  # a second record of the bin, and one that was read twice
            records.append(record | {"record_key": f"r/x/{name}.json", "items": [item] * 2})
            records.append(record | {"read_at": NOW + timedelta(days=1), "expected_quantity": 1})
        if kind == 4:
            continue
        keys = [f"i/{name}.jpg", f"i/older/{name}.jpg"] if kind == 5 else [f"i/{name}.jpg"]
        for age, key in enumerate(keys):
            images.append(StoredObject(key, 9, "e", NOW - timedelta(days=age)))
            # Many bins have the same probabilities, so that only their ids decide the order.
            probabilities = random_.dirichlet(np.full(7, 0.3)) if kind > 9 else np.eye(7)[number % 7] * 0.93 + 0.01
            best = int(probabilities.argmax())
            count = {"image_key": key, "etag": "e", "try_again": False, "counted_at": NOW}
            known = {
                "predicted_label": LABELS.names[best],
                "predicted_count": best,
                "probabilities": probabilities.tolist(),
            }
            if kind == 6:
                count |= {"reason": "damaged"}
            if kind == 7:  # counted again, because it could not be fetched the first time
                counts.append(count | {"reason": "no answer", "try_again": True})
                count |= {"counted_at": NOW + timedelta(days=1)}
            if kind != 8:
                counts.append(count if kind == 6 else count | known)
        if kind == 9:
            verdict = {"bin_id": name, "run_id": "one", "true_count": number % 5, "image_etag": "e", "line": number}
            verdicts.append(verdict | {"expected_quantity": number % 8, "imported_at": NOW})
    for name, rows, schema in (
        ("counts", counts, COUNTS_SCHEMA), ("records", records, RECORDS_SCHEMA), ("verdicts", verdicts, VERDICTS_SCHEMA)
    ):  # fmt: skip
        for number in range(3):
            pq.write_table(pa.Table.from_pylist(rows[number::3], schema), folder / f"{name}-{number}.parquet")
    stock = pd.DataFrame(
        {"bin_id": [*bins[:-9], " 00007 ", ""], "expected_quantity": [number % 8 for number in range(BINS - 7)]}
    )
    stock.to_csv(folder / "stock.csv", index=False)
    return folder, images, list(dict.fromkeys(record["record_key"] for record in records))


def reconciled_rows(written, work, bins_at_once: int, form: str, rank_by: str) -> pd.DataFrame:
    folder, images, record_keys = written
    work.mkdir()
    counts, records, verdicts = (
        [str(path) for path in sorted(folder.glob(f"{name}-*.parquet"))] for name in ("counts", "records", "verdicts")
    )
    costs = [{"asin": f"B{number}", "unit_cost": 1.0 + number} for number in range(5)]
    source: RecordSource = JsonRecords()
    if form != "json":
        source = TableRecords(folder / "stock.csv", "stock.csv", {}, form == "table of images", "same")
    parts, unit_costs = StoredParts(counts, records, verdicts), pa.Table.from_pylist(costs, COSTS_SCHEMA)
    reconciler = Reconciler(work, LABELS, source, parts, unit_costs, bins_at_once)
    list(reconciler.new_images([images], None))
    if form == "json":
        list(reconciler.new_records([[StoredObject(key, 9, "e", NOW) for key in record_keys]], only_of_images=False))
    scorer = DiscrepancyScorer(LABELS, (1 / 7,) * 7, fit_error_model(ErrorModel(0.03), None, LABELS), 1)
    reconciler.reconcile(work / "reconciled.parquet", scorer, rank_by)
    reconciler.close()
    return pd.read_parquet(work / "reconciled.parquet")


@pytest.mark.parametrize(
    ("form", "rank_by"), [("json", "probability"), ("json", "value"), ("table", "units"), ("table of images", "value")]
)
def test_split_join_equals_whole_join(form, rank_by, written, tmp_path):
    whole = reconciled_rows(written, tmp_path / "whole", 1000, form, rank_by)
    parted = reconciled_rows(written, tmp_path / "it's [p]arted*", 90, form, rank_by)  # a name that TMPDIR may have
    pd.testing.assert_frame_equal(parted, whole)
    ranks = whole["recount_rank"].dropna()
    assert list(ranks) == list(range(1, len(ranks) + 1))
    assert len(ranks) > BINS / 2
    assert whole["image_key"].nunique() == len(written[1])
    if form == "json":
        assert set(whole["status"]) == {
            "match",
            "short",
            "over",
            "no_record",
            "no_image",
            "unreadable_image",
            "invalid_record",
        }
        assert whole["items"].notna().sum() > BINS / 2
        assert whole["recounted_count"].notna().any()


def test_duplicate_key_gives_one_row(written, tmp_path):
    folder, images, record_keys = written
    pages = ([*images, images[0]], [record_keys[0], *record_keys])
    again = reconciled_rows((folder, *pages), tmp_path / "again", 1000, "json", "probability")
    pd.testing.assert_frame_equal(again, reconciled_rows(written, tmp_path / "once", 1000, "json", "probability"))


@pytest.mark.parametrize("order", [1, -1])
def test_record_with_two_etags_uses_the_readable_one(order, tmp_path):
    tried = {"record_key": "r/1.json", "bin_id": "1", "read_at": NOW}
    gone = tried | {"etag": "old", "try_again": True, "reason": "the object changed after it was listed"}
    read = tried | {"etag": "new", "try_again": False, "expected_quantity": 3, "items": [{"asin": "B1", "quantity": 3}]}
    pq.write_table(pa.Table.from_pylist([gone, read][::order], RECORDS_SCHEMA), tmp_path / "records.parquet")
    parts = StoredParts(records=[str(tmp_path / "records.parquet")])
    reconciler = Reconciler(tmp_path, LABELS, JsonRecords(), parts)
    listed = [StoredObject("r/1.json", 9, etag, NOW) for etag in ("old", "new")][::order]
    list(reconciler.new_records([listed], only_of_images=False))
    scorer = DiscrepancyScorer(LABELS, (1 / 7,) * 7, fit_error_model(ErrorModel(0.03), None, LABELS), 1)
    reconciler.reconcile(tmp_path / "reconciled.parquet", scorer, "probability")
    reconciler.close()
    [row] = pd.read_parquet(tmp_path / "reconciled.parquet").to_dict("records")
    assert (row["status"], row["expected_quantity"], row["items"][0]["asin"]) == ("no_image", 3, "B1")


def test_bin_of_in_sql_equals_bin_id_in_python(tmp_path):
    keys = ["a/b.jpg", "b", "a/.jpg", "a/b.", "a.b/c", "a.b/c.d.e", "a/b/", "a/b.x/.", "a//", "/", ".", "./", "a/.."]
    keys += [
        "..",
        "",
        "a/ü.jpg",
        "a/b\n.jpg",
        "a/.\n",
        "x/...",
        "a/b//./.",
        "//",
        "e\u0301.\u0301x",
        "日本/語.写真",
        " /.",
    ]
    letters = random.Random(1)
    keys += ["".join(letters.choices("ab./.", k=letters.randint(1, 8))) for _ in range(2000)]
    with open_database(tmp_path) as database:
        database.register("keys", pa.table({"key": keys}))
        names = [name for (name,) in database.sql("SELECT bin_of(key) FROM keys").fetchall()]
    assert [(key, name) for key, name in zip(keys, names, strict=True) if name != bin_id(key)] == []
