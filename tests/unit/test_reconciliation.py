"""The join, on real rows in DuckDB: every image and every record ends in exactly one row with one status."""

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.bucket import StoredObject
from reconcile.errors import ReconcileError, UsageError
from reconcile.reconciliation import Night
from reconcile.store import COUNTS_SCHEMA, RECORDS_SCHEMA
from tests.conftest import LABELS

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def stored(key: str, etag: str = "e", day: int = 1) -> StoredObject:
    return StoredObject(key, 10, etag, datetime(2026, 1, day, tzinfo=UTC))


def count_row(key: str, count: int | None, etag: str = "e", **changes) -> dict:
    row = {"image_key": key, "etag": etag, "try_again": False, "counted_at": NOW}
    if count is not None:
        shares = [0.02] * 7
        shares[count] = 0.88
        row |= {"predicted_label": LABELS.names[count], "predicted_count": count, "probabilities": shares}
    return row | changes


def record_row(key: str, bin_id: str, quantity: int | None, **changes) -> dict:
    row = {"record_key": key, "etag": "e", "bin_id": bin_id, "expected_quantity": quantity, "items": []}
    return row | {"try_again": False, "read_at": NOW} | changes


@pytest.fixture
def night_of(tmp_path):
    """Builds a night from counts and records as they would lie in <out>."""
    opened = []

    def build(images: list[StoredObject], counts: list[dict], records: list[dict]) -> Night:
        counts_part, records_part = tmp_path / "counts.parquet", tmp_path / "records.parquet"
        pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), counts_part)
        pq.write_table(pa.Table.from_pylist(records, RECORDS_SCHEMA), records_part)
        night = Night(tmp_path, LABELS, [str(counts_part)], [str(records_part)])
        opened.append(night)
        for _ in night.new_images([images], None):
            pass
        for _ in night.new_records([[stored(row["record_key"]) for row in records]], only_of_images=False):
            pass
        night.use_json_records()
        return night

    yield build
    for night in opened:
        night.close()


def reconciled(night: Night, tmp_path) -> pd.DataFrame:
    night.reconcile(tmp_path / "reconciled.parquet")
    return pd.read_parquet(tmp_path / "reconciled.parquet").set_index("bin_id", drop=False)


def test_each_status_and_nothing_lost(night_of, tmp_path):
    names = ["same", "fewer", "more", "lonely", "broken", "bad", "badboth"]
    counts = [
        count_row("i/same.jpg", 3),
        count_row("i/fewer.jpg", 1),
        count_row("i/more.jpg", 5),
        count_row("i/lonely.jpg", 2),
        count_row("i/broken.jpg", None, reason="damaged"),
        count_row("i/bad.jpg", 2),
        count_row("i/badboth.jpg", None, reason="empty"),
    ]
    records = [
        record_row("r/same.json", "same", 3),
        record_row("r/fewer.json", "fewer", 4),
        record_row("r/more.json", "more", 2),
        record_row("r/broken.json", "broken", 2),
        record_row("r/bad.json", "bad", None, reason="not JSON"),
        record_row("r/badboth.json", "badboth", None, reason="negative"),
        record_row("r/ghost.json", "ghost", 1),
        record_row("r/badghost.json", "badghost", None, reason="not JSON"),
    ]
    night = night_of([stored(f"i/{name}.jpg") for name in names], counts, records)
    rows = reconciled(night, tmp_path)
    assert rows["status"].to_dict() == {
        "same": "match", "fewer": "short", "more": "over", "lonely": "no_record", "broken": "unreadable_image",
        "bad": "invalid_record", "badboth": "unreadable_image", "ghost": "no_image", "badghost": "invalid_record",
    }  # fmt: skip
    assert rows["difference"].dropna().to_dict() == {"same": 0, "fewer": -3, "more": 3}
    assert rows.loc["badboth", "reason"] == "empty; and the record: negative"
    assert rows.loc[rows["status"].isin(["short", "over"]), "recount_rank"].sort_values().tolist() == [1, 2]
    assert rows.loc["same", "p_wrong"] < 0.01 < rows.loc["fewer", "p_wrong"]
    totals = night.table("totals")
    assert totals["bins"].sum() == len(rows) == 9
    assert len(totals) == 8


def test_an_open_ended_label_agrees_with_every_larger_quantity(night_of, tmp_path):
    records = [record_row(f"r/{n}.json", str(n), n) for n in (4, 6, 9, 50)]
    night = night_of(
        [stored(f"i/{n}.jpg") for n in (4, 6, 9, 50)], [count_row(f"i/{n}.jpg", 6) for n in (4, 6, 9, 50)], records
    )
    rows = reconciled(night, tmp_path)
    assert rows["status"].to_dict() == {"4": "over", "6": "match", "9": "match", "50": "match"}
    assert rows.loc["4", "difference"] == 2
    assert rows.loc["50", "expected_quantity"] == 50
    classes = night.table("accuracy_by_count").set_index("count_class")
    assert classes["n"].to_dict() == {"4": 1, "6+": 3, "all": 4}


def test_bin_ids_are_strings(night_of, tmp_path):
    night = night_of([stored("i/1.jpg"), stored("i/00001.jpg")], [count_row("i/1.jpg", 1), count_row("i/00001.jpg", 2)],
                     [record_row("r/00001.json", "00001", 2)])  # fmt: skip
    assert reconciled(night, tmp_path)["status"].to_dict() == {"1": "no_record", "00001": "match"}


def test_of_several_photos_the_newest_is_held_against_the_record(night_of, tmp_path):
    images = [stored("i/a/7.jpg", day=1), stored("i/b/7.jpg", day=9), stored("i/7.png", day=3)]
    counts = [count_row("i/a/7.jpg", 1), count_row("i/b/7.jpg", 2), count_row("i/7.png", 3)]
    night = night_of(images, counts, [record_row("r/7.json", "7", 2)])
    rows = reconciled(night, tmp_path).set_index("image_key")
    assert rows["status"].to_dict() == {"i/a/7.jpg": "no_record", "i/b/7.jpg": "match", "i/7.png": "no_record"}
    assert "older photo" in rows.loc["i/7.png", "reason"]


def test_several_records_of_one_bin(night_of, tmp_path):
    records = [
        record_row("r/a/1.json", "1", 3), record_row("r/b/1.json", "1", 3),
        record_row("r/a/2.json", "2", 3), record_row("r/b/2.json", "2", 4),
    ]  # fmt: skip
    night = night_of(
        [stored("i/1.jpg"), stored("i/2.jpg")], [count_row("i/1.jpg", 3), count_row("i/2.jpg", 3)], records
    )
    rows = reconciled(night, tmp_path)
    assert rows["status"].to_dict() == {"1": "match", "2": "invalid_record"}
    assert rows.loc["1", "note"] == "2 records for this bin"
    assert rows.loc["2", "reason"].startswith("2 records for this bin disagree")


def test_a_photo_that_changed_is_counted_anew_and_one_that_failed_to_arrive_is_tried_again(night_of):
    counts = [
        count_row("i/old.jpg", 1, etag="before"),
        count_row("i/kept.jpg", 1),
        count_row("i/lost.jpg", None, reason="no answer", try_again=True),
        count_row("i/broken.jpg", None, reason="damaged"),
    ]
    night = night_of([], counts, [])
    page = [stored(f"i/{name}.jpg") for name in ("broken", "kept", "lost", "new", "old")]
    new = [image.key for images in night.new_images([page], None) for image in images]
    assert new == ["i/lost.jpg", "i/new.jpg", "i/old.jpg"]


def test_the_limit_counts_listed_images_whether_new_or_not(night_of):
    night = night_of([], [count_row("i/1.jpg", 1)], [])
    pages = [[stored("i/1.jpg"), stored("i/2.jpg")], [stored("i/3.jpg"), stored("i/4.jpg")], [stored("i/5.jpg")]]
    new = [image.key for images in night.new_images(pages, 3) for image in images]
    assert new == ["i/2.jpg", "i/3.jpg"]
    assert night.image_count == 3


def test_accuracy_per_class_is_what_its_definition_says(night_of, tmp_path):
    seen = {"a": (2, 2), "b": (2, 2), "c": (2, 1), "d": (2, 4), "e": (5, 5)}
    night = night_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (_, count) in seen.items()],
        [record_row(f"r/{name}.json", name, quantity) for name, (quantity, _) in seen.items()],
    )
    night.reconcile(tmp_path / "reconciled.parquet")
    rows = night.table("accuracy_by_count").set_index("count_class")
    two = rows.loc["2"]
    assert (two["n"], two["accuracy"], two["mean_signed_error"]) == (4, 0.5, 0.25)
    assert two["rmse"] == pytest.approx((5 / 4) ** 0.5)
    # Wilson's interval for 2 of 4 (scipy.stats.binomtest(2, 4).proportion_ci(method="wilson"))
    assert (two["accuracy_low"], two["accuracy_high"]) == pytest.approx((0.150036, 0.849964), abs=1e-5)
    assert (rows.loc["all", "n"], rows.loc["all", "accuracy"]) == (5, 0.6)
    confusion = night.table("confusion")
    assert confusion["bins"].sum() == 5
    assert confusion.query("expected_count == 2 and predicted_count == 4")["bins"].tolist() == [1]


def test_every_status_keeps_its_place_among_the_problems(night_of, tmp_path):
    records = [record_row(f"r/{n}.json", str(n), None, reason=f"reason {n}") for n in range(30)]
    night = night_of([stored("i/lonely.jpg")], [count_row("i/lonely.jpg", 1)], records)
    night.reconcile(tmp_path / "reconciled.parquet")
    problems = night.table("problems", most=10)
    assert problems["status"].tolist() == ["invalid_record"] * 10 + ["no_record"]
    assert problems["left_out"].tolist() == [0] * 9 + [20, 0]


def test_a_part_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "part.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ReconcileError, match=r"cannot read what earlier runs left: .*part\.parquet"):
        Night(tmp_path, LABELS, [str(tmp_path / "part.parquet")], [])


def test_the_limited_listing_of_records_ends_when_all_are_found(night_of):
    night = night_of([stored("i/1.jpg"), stored("i/2.jpg")], [], [])
    asked = []

    def pages():
        for number in range(1, 9):
            asked.append(number)
            yield [stored(f"r/{number}.json")]

    wanted = [record.key for page in night.new_records(pages(), only_of_images=True) for record in page]
    assert (wanted, asked) == (["r/1.json", "r/2.json"], [1, 2])


def test_products_of_discrepant_bins(night_of, tmp_path):
    items = [{"asin": "B1", "name": "Soap", "quantity": 2}, {"asin": "B2", "name": None, "quantity": None}]
    records = [record_row("r/1.json", "1", 4, items=items), record_row("r/2.json", "2", 1, items=items[:1]),
               record_row("r/3.json", "3", 3, items=items)]  # fmt: skip
    night = night_of(
        [stored(f"i/{n}.jpg") for n in (1, 2, 3)], [count_row(f"i/{n}.jpg", 3) for n in (1, 2, 3)], records
    )
    night.reconcile(tmp_path / "reconciled.parquet")
    products = night.table("items_by_asin", most=10).set_index("asin")
    assert products.loc["B1", ["bins", "items_on_record", "short_bins", "over_bins"]].tolist() == [2, 4, 1, 1]
    assert products.loc["B2", "bins"] == 1


def test_no_cell_of_the_recount_list_is_a_formula(night_of, tmp_path):
    items = [{"asin": "B1", "name": "=1+1", "quantity": 2}]
    keys = ["=cmd", "+1", "-1", "@x"]
    night = night_of([stored(f"{key}.jpg") for key in keys], [count_row(f"{key}.jpg", 1) for key in keys],
                     [record_row(f"{key}.json", key, 4, items=items) for key in keys])  # fmt: skip
    night.reconcile(tmp_path / "reconciled.parquet")
    night.write_recount_list(tmp_path / "recount.csv")
    cells = pd.read_csv(tmp_path / "recount.csv", dtype=str)
    assert len(cells) == 4
    assert not cells.stack().str.match(r"[=+\-@]").any()


TABLE = "bin_id,expected_quantity\n00001,3\n2,\n3,two\n4,-1\n5,2.5\n,7\n6,4.0\n7.jpg,1\n00001,3\n8,1\n8,2\n9,1e30\n"
EXPECTED = {
    "00001": (3, None), "2": (None, "missing"), "3": (None, "no number: two"), "4": (None, "negative: -1"),
    "5": (None, "fractional: 2.5"), "6": (4, None), "7": (1, None),
    "8": (None, "disagree"), "9": (None, "no count"),
}  # fmt: skip


def table_file(tmp_path, kind):
    frame = pd.read_csv(pd.io.common.StringIO(TABLE), dtype=str)
    path = tmp_path / f"stock.{kind}"
    if kind == "csv":
        path.write_text(TABLE)
    elif kind == "tsv":
        path.write_text("\ufeff" + TABLE.replace(",", "\t"))
    elif kind == "csv.gz":
        frame.to_csv(path, index=False, sep=";")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(frame.to_json(orient="records", lines=True) + 'no JSON\n["list"]\n')
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "parquet", "jsonl"])
def test_records_from_a_table(night_of, tmp_path, kind):
    night = night_of([], [], [])
    night.use_table_records(table_file(tmp_path, kind), f"stock.{kind}", {}, only_of_images=False)
    night.reconcile(tmp_path / "reconciled.parquet")
    rows = pd.read_parquet(tmp_path / "reconciled.parquet")
    broken = rows[rows["bin_id"].isna()]
    assert len(broken) == (3 if kind == "jsonl" else 1)
    assert set(broken["status"]) == {"invalid_record"}
    assert f"no bin id in row {6 + (kind not in ('parquet', 'jsonl'))}" in set(broken["reason"])
    rows = rows.dropna(subset="bin_id").set_index("bin_id")
    for bin_id, (quantity, reason) in EXPECTED.items():
        row = rows.loc[bin_id]
        assert row["status"] == ("no_image" if reason is None else "invalid_record")
        if reason is None:
            assert row["expected_quantity"] == quantity
        else:
            assert reason in row["reason"]
    assert len(rows) == len(EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        "name,bin_id,expected_quantity\n" + "Soap,x,1\n" * 60_000 + '"Soap, bar",00001,2\n',
        'bin_id,expected_quantity,name\n00001,2,"two\nlines"\n',
        'bin_id,expected_quantity,name\n"00001","2","a ""quoted"" word"\nshort\n',
        "bin_id;expected_quantity\r\n00001;2\r\n",
        "bin_id,expected_quantity\n00001,2,more,than,the,header\n",
        "bin_id,expected_quantity,name\n00001,2,caf\xe9\n".encode("latin-1"),
        "bin_id\texpected_quantity\r\n00001\t2\r\n".encode("utf-16"),
    ],
    ids=["late quote", "newline", "quotes", "semicolons", "long row", "latin-1", "utf-16"],
)
def test_tables_as_spreadsheets_write_them(night_of, tmp_path, data):
    (tmp_path / "stock.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    night = night_of([], [], [])
    night.use_table_records(tmp_path / "stock.csv", "stock.csv", {}, only_of_images=False)
    assert reconciled(night, tmp_path).loc["00001", "expected_quantity"] == 2


def test_ids_that_pandas_made_floats_of_are_whole_numbers_again(night_of, tmp_path):
    pd.DataFrame({"bin_id": [7.0, None], "expected_quantity": [1, 2]}).to_parquet(tmp_path / "stock.parquet")
    night = night_of([], [], [])
    night.use_table_records(tmp_path / "stock.parquet", "stock.parquet", {}, only_of_images=False)
    assert set(reconciled(night, tmp_path)["bin_id"].dropna()) == {"7"}


def test_other_column_names_can_be_mapped(night_of, tmp_path):
    (tmp_path / "wms.csv").write_text("Location,On Hand\nA-1,2\n")
    night = night_of([], [], [])
    columns = {"bin_id": "location", "expected_quantity": "On Hand"}
    night.use_table_records(tmp_path / "wms.csv", "wms.csv", columns, only_of_images=False)
    assert reconciled(night, tmp_path).loc["A-1", "expected_quantity"] == 2


def test_a_missing_column_is_wrong_usage_and_says_what_there_is(night_of, tmp_path):
    (tmp_path / "wms.csv").write_text("location,qty\nA-1,2\n")
    with pytest.raises(UsageError, match="no column 'bin_id', but location, qty; say which with --records-columns"):
        night_of([], [], []).use_table_records(tmp_path / "wms.csv", "wms.csv", {}, only_of_images=False)


def test_a_table_that_cannot_be_read_is_one_line(night_of, tmp_path):
    (tmp_path / "wms.parquet").write_bytes(b"PAR1 is all there is")
    with pytest.raises(ReconcileError, match=r"--records wms.parquet cannot be read: \S"):
        night_of([], [], []).use_table_records(tmp_path / "wms.parquet", "wms.parquet", {}, only_of_images=False)
