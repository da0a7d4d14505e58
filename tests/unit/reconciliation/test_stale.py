"""Records that changed after the photo: they say what the bin holds now, and the photo what it held then."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from reconcile.storage.base import StoredObject
from tests.unit.reconciliation.rows import NOW, count_row, reconciled, record_row, table, verdict

CHANGED = datetime(2026, 1, 1, tzinfo=UTC)
"""When the records of `night_of` were stored."""


def photo(name: str, minutes_before: float) -> StoredObject:
    """A photo that was taken so many minutes before the record changed."""
    return StoredObject(f"i/{name}.jpg", 10, "e", CHANGED - timedelta(minutes=minutes_before))


@pytest.fixture
def night(night_of):
    """Photos of 12 hours and 10 minutes before their records changed, and one of an hour later; all count 1 of 4."""
    photos = [photo("long before", 720), photo("just before", 10), photo("after", -60), photo("older/after", 720)]
    broken = photo("broken", 720)
    counts = [count_row(taken.key, 1) for taken in photos] + [count_row(broken.key, None, reason="damaged")]
    records = [record_row(f"r/{name}.json", name, 4) for name in ("long before", "just before", "after", "broken")]
    return night_of([*photos, broken], counts, records)


@pytest.mark.parametrize(
    ("minutes", "stale"),
    [(None, []), (0, ["just before", "long before"]), (10, ["long before"]), (719.9, ["long before"]), (720, [])],
)
def test_a_record_that_changed_later_is_not_compared(night, tmp_path, minutes, stale):
    rows = reconciled(night, tmp_path, stale_after=minutes).set_index("image_key", drop=False)
    assert len(rows) == 5
    assert sorted(rows.loc[rows["status"] == "stale", "bin_id"]) == stale
    compared = {"long before", "just before", "after"} - set(stale)
    assert set(rows.loc[rows["recount_rank"].notna(), "bin_id"]) == compared
    assert rows.loc["i/older/after.jpg", "status"] == "no_record"
    assert rows.loc["i/broken.jpg", "status"] == "unreadable_image"
    if stale:
        row = rows.loc["i/long before.jpg"]
        assert row["reason"] == "the record changed after the photo"
        assert (row["predicted_count"], row["expected_quantity"], row["record_changed_at"]) == (1, 4, CHANGED)
        assert row[["difference", "p_wrong", "units_off", "likely_label", "recount_rank"]].isna().all()
    overview = table(tmp_path, "figures/run_counts").iloc[0]
    assert (overview["covered"], overview["queued"], overview["agreeing"]) == (len(compared), len(compared), 0)
    assert table(tmp_path, "figures/status_totals").set_index("status").loc["stale", "bins"] == len(stale)


def test_what_was_recounted_since_is_compared(night, tmp_path, verdicts_part):
    earlier = CHANGED - timedelta(minutes=1)
    night.use_verdicts(verdicts_part(verdict("long before", 4, 2), verdict("just before", 4, 2, imported_at=earlier)))
    rows = reconciled(night, tmp_path, stale_after=5)
    assert rows.loc["long before", ["status", "recounted_count"]].tolist() == ["short", 2]
    assert rows.loc["just before", ["status", "recounted_count"]].tolist() == ["stale", 2]
    assert table(tmp_path, "figures/error_probabilities", tolerance=0)["is_wrong"].notna().sum() == 1


def test_of_several_records_of_a_bin_the_last_change_counts(night_of, tmp_path):
    night = night_of([photo("A", 10)], [count_row("i/A.jpg", 2)], [])
    (tmp_path / "stock.csv").write_text(
        "bin_id,expected_quantity,changed_at\nA,2,2025-12-31 22:00:00\nA,2,2026-01-01\nA,2,\n"
    )
    night.use_table_records(tmp_path / "stock.csv", "stock.csv", {"changed_at": "changed_at"}, only_of_images=False)
    row = reconciled(night, tmp_path, stale_after=5).loc["A"]
    assert (row["status"], row["note"]) == ("stale", "3 records for this bin")


TIMES = {
    "zone": ("2026-01-01T02:00:00+02:00", "stale"),
    "no zone, so UTC": ("2026-01-01 00:00:00", "stale"),
    "before": ("2025-12-31T23:40:00Z", "match"),
    "day": ("2026-01-01", "stale"),
    "not known": ("", "match"),
    "nonsense": ("last week", "match"),
    "for ever": ("infinity", "match"),
    "far": ("290000-01-01", "match"),
}


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_table_may_say_when_its_records_changed(night_of, tmp_path, kind):
    night = night_of([photo(name, 10) for name in TIMES], [count_row(f"i/{name}.jpg", 2) for name in TIMES], [])
    times = [time for time, _ in TIMES.values()]
    frame = pd.DataFrame({"touched": times, "expected_quantity": 2, "bin_id": list(TIMES)})
    path = tmp_path / f"stock.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(frame.to_json(orient="records", lines=True))
    night.use_table_records(path, path.name, {"changed_at": "touched"}, only_of_images=False)
    rows = reconciled(night, tmp_path, stale_after=5)
    assert rows["status"].to_dict() == {name: status for name, (_, status) in TIMES.items()}
    unread = {name: TIMES[name][0] for name in ("nonsense", "for ever", "far")}
    assert rows["note"].dropna().to_dict() == {
        name: f"the time of the last change cannot be read: {time}" for name, time in unread.items()
    }


def test_times_of_parquet_are_taken_as_they_are(night_of, tmp_path):
    night = night_of([photo("A", 10), photo("B", 10)], [count_row(f"i/{name}.jpg", 2) for name in "AB"], [])
    frame = pd.DataFrame({"bin_id": ["A", "B"], "expected_quantity": 2, "changed_at": [CHANGED, pd.NaT]})
    frame.to_parquet(tmp_path / "stock.parquet")
    wanted = {"changed_at": "changed_at"}
    night.use_table_records(tmp_path / "stock.parquet", "stock.parquet", wanted, only_of_images=False)
    rows = reconciled(night, tmp_path, stale_after=5)
    assert rows["status"].to_dict() == {"A": "stale", "B": "match"}
    assert rows.loc["A", "record_changed_at"] == CHANGED < NOW
    assert rows["note"].isna().all()
