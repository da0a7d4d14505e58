"""The join in DuckDB: every image and every record is in exactly one row, with one status."""

import pytest

from reconcile.errors import ReconcileError
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from tests.conftest import LABELS
from tests.unit.reconciliation.rows import count_row, reconciled, record_row, stored, table


def test_every_image_and_record_gets_one_status(reconciler_of, tmp_path):
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
    reconciler = reconciler_of([stored(f"i/{name}.jpg") for name in names], counts, records)
    rows = reconciled(reconciler, tmp_path)
    assert rows["status"].to_dict() == {
        "same": "match", "fewer": "short", "more": "over", "lonely": "no_record", "broken": "unreadable_image",
        "bad": "invalid_record", "badboth": "unreadable_image", "ghost": "no_image", "badghost": "invalid_record",
    }  # fmt: skip
    assert rows["difference"].dropna().to_dict() == {"same": 0, "fewer": -3, "more": 3}
    assert rows.loc["badboth", "reason"] == "empty; invalid record: negative"
    assert rows["recount_rank"].dropna().to_dict() == {"fewer": 1, "more": 2, "same": 3}
    assert rows.loc["same", "p_wrong"] < 0.001 < 0.98 < rows.loc["fewer", "p_wrong"]
    totals = table(tmp_path, "figures/status_totals")
    assert totals["bins"].sum() == len(rows) == 9
    assert len(totals) == 8


def test_open_ended_label_matches_every_larger_quantity(reconciler_of, tmp_path):
    records = [record_row(f"r/{n}.json", str(n), n) for n in (4, 6, 9, 50)]
    reconciler = reconciler_of(
        [stored(f"i/{n}.jpg") for n in (4, 6, 9, 50)], [count_row(f"i/{n}.jpg", 6) for n in (4, 6, 9, 50)], records
    )
    rows = reconciled(reconciler, tmp_path)
    assert rows["status"].to_dict() == {"4": "over", "6": "match", "9": "match", "50": "match"}
    assert rows.loc["4", "difference"] == 2
    assert rows.loc["50", "expected_quantity"] == 50
    assert rows.loc["9", "p_wrong"] == rows.loc["50", "p_wrong"] == rows.loc["6", "p_wrong"] < 0.001
    classes = table(tmp_path, "figures/accuracy_by_count").set_index("count_class")
    assert classes["n"].to_dict() == {"4": 1, "6+": 3, "all": 4}


def test_bin_ids_with_leading_zeros_stay_distinct(reconciler_of, tmp_path):
    counts = [count_row("i/1.jpg", 1), count_row("i/00001.jpg", 2)]
    records = [record_row("r/00001.json", "00001", 2)]
    reconciler = reconciler_of([stored("i/1.jpg"), stored("i/00001.jpg")], counts, records)
    assert reconciled(reconciler, tmp_path)["status"].to_dict() == {"1": "no_record", "00001": "match"}


def test_newest_of_several_photos_is_compared(reconciler_of, tmp_path):
    images = [stored("i/a/7.jpg", day=1), stored("i/b/7.jpg", day=9), stored("i/7.png", day=3)]
    counts = [count_row("i/a/7.jpg", 1), count_row("i/b/7.jpg", 2), count_row("i/7.png", 3)]
    reconciler = reconciler_of(images, counts, [record_row("r/7.json", "7", 2)])
    rows = reconciled(reconciler, tmp_path).set_index("image_key")
    assert rows["status"].to_dict() == {"i/a/7.jpg": "no_record", "i/b/7.jpg": "match", "i/7.png": "no_record"}
    assert "older photo" in rows.loc["i/7.png", "reason"]


def test_several_records_agree_or_are_invalid(reconciler_of, tmp_path):
    records = [
        record_row("r/a/1.json", "1", 3), record_row("r/b/1.json", "1", 3),
        record_row("r/a/2.json", "2", 3), record_row("r/b/2.json", "2", 4),
    ]  # fmt: skip
    reconciler = reconciler_of(
        [stored("i/1.jpg"), stored("i/2.jpg")], [count_row("i/1.jpg", 3), count_row("i/2.jpg", 3)], records
    )
    rows = reconciled(reconciler, tmp_path)
    assert rows["status"].to_dict() == {"1": "match", "2": "invalid_record"}
    assert rows.loc["1", "note"] == "2 records for this bin"
    assert rows.loc["2", "reason"].startswith("2 records for this bin disagree")


def test_each_row_has_the_items_of_its_record(reconciler_of, tmp_path):
    def items_of(asin):
        return [{"asin": asin, "name": asin, "quantity": 1}]

    records = [
        record_row("r/1.json", "1", 1, items=items_of("changed since"), etag="old"),
        record_row("r/1.json", "1", 1, items=items_of("as it is")),
        record_row("r/2.json", "2", None, items=None, reason="not JSON"),
        record_row("s/2.json", "2", 1, items=items_of("of the sound one")),
        record_row("r/3.json", "3", 1, items=None),
        record_row("r/4.json", "4", 1, items=items_of("without a photo")),
    ]
    photos = [stored("i/1.jpg", day=2), stored("i/older/1.jpg"), stored("i/2.jpg"), stored("i/3.jpg")]
    reconciler = reconciler_of(photos, [count_row(photo.key, 1) for photo in photos], records)
    rows = reconciled(reconciler, tmp_path).dropna(subset="items").fillna({"image_key": "no photo"})
    assert {row.image_key: row.items[0]["asin"] for row in rows.itertuples()} == {
        "i/1.jpg": "as it is",
        "i/2.jpg": "of the sound one",
        "no photo": "without a photo",
    }


def test_status_compares_photo_and_record_and_suspect_weighs_both(reconciler_of, tmp_path):
    counts = {"sure": (1, 0.0), "unsure": (1, 0.05), "vague": (1, 0.1), "same": (4, 0.0)}
    reconciler = reconciler_of(
        [stored(f"i/{name}.jpg") for name in counts],
        [count_row(f"i/{name}.jpg", count, doubt=doubt) for name, (count, doubt) in counts.items()],
        [record_row(f"r/{name}.json", name, 4) for name in counts],
    )
    rows = reconciled(reconciler, tmp_path)
    assert rows["status"].to_dict() == {"sure": "short", "unsure": "short", "vague": "short", "same": "match"}
    assert rows["suspect"].to_dict() == {"sure": True, "unsure": True, "vague": False, "same": False}
    assert rows["likely_count"].to_dict() == {"sure": 1, "unsure": 4, "vague": 4, "same": 4}
    assert (rows["suspect"] == (rows["p_wrong"] >= 0.05)).all()
    assert rows.loc["unsure", ["predicted_count", "difference"]].tolist() == [1, -3]
    assert rows.loc["unsure", "likely_label"] == "4"
    assert rows.loc["unsure", "label_if_wrong"] == "1"


def test_unreadable_part_raises_one_line(tmp_path):
    (tmp_path / "part.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ReconcileError, match=r"cannot read the counts in <out>: .*part\.parquet"):
        Reconciler(tmp_path, LABELS, JsonRecords(), StoredParts(counts=[str(tmp_path / "part.parquet")]))


@pytest.mark.parametrize("order", [1, -1])
def test_duplicate_key_uses_the_counted_photo(reconciler_of, tmp_path, order):
    """A table of --keys may give no times. The two other entries could not be fetched in any run."""
    untimed = [stored("i/a.jpg", etag)._replace(modified=None) for etag in ("x", "y", "z")][::order]
    again = {"reason": "the object changed", "try_again": True}
    counts = [
        count_row("i/a.jpg", None, "x", **again),
        count_row("i/a.jpg", 3, "y"),
        count_row("i/a.jpg", None, "z", **again),
    ]
    reconciler = reconciler_of(untimed, counts, [record_row("r/a.json", "a", 3)])
    rows = reconciled(reconciler, tmp_path)
    assert rows[["image_key", "image_etag", "status"]].values.tolist() == [["i/a.jpg", "y", "match"]]
