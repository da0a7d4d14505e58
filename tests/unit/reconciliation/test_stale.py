"""Stale records: records that changed after the photo was taken."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from reconcile.reconciliation.record_sources import TableRecords
from reconcile.storage.base import StoredObject
from tests.unit.reconciliation.rows import NOW, count_row, reconciled, record_row, table, verdict

CHANGED = datetime(2026, 1, 1, tzinfo=UTC)
"""The time at which the records of `reconciler_of` were stored."""


def photo(name: str, minutes_before: float) -> StoredObject:
    """Return a photo that was taken some minutes before its record changed."""
    return StoredObject(f"i/{name}.jpg", 10, "e", CHANGED - timedelta(minutes=minutes_before))


@pytest.fixture
def reconciler_of_changes(reconciler_of):
    """Return a function that opens a Reconciler over photos taken before and after their records changed.

    Each photo shows 1 item, and each record says 4.
    """
    photos = [photo("long before", 720), photo("just before", 10), photo("after", -60), photo("older/after", 720)]
    broken = photo("broken", 720)
    counts = [count_row(taken.key, 1) for taken in photos] + [count_row(broken.key, None, reason="damaged")]
    records = [record_row(f"r/{name}.json", name, 4) for name in ("long before", "just before", "after", "broken")]
    return lambda verdicts=(): reconciler_of([*photos, broken], counts, records, verdicts=verdicts)


@pytest.mark.parametrize(
    ("minutes", "stale"),
    [(None, []), (0, ["just before", "long before"]), (10, ["long before"]), (719.9, ["long before"]), (720, [])],
)
def test_record_changed_after_its_photo_is_stale(reconciler_of_changes, tmp_path, minutes, stale):
    rows = reconciled(reconciler_of_changes(), tmp_path, stale_after=minutes).set_index("image_key", drop=False)
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


def test_bin_recounted_since_the_change_is_compared(reconciler_of_changes, tmp_path, verdicts_part):
    earlier = CHANGED - timedelta(minutes=1)
    verdicts = verdicts_part(verdict("long before", 4, 2), verdict("just before", 4, 2, imported_at=earlier))
    reconciler = reconciler_of_changes(verdicts)
    rows = reconciled(reconciler, tmp_path, stale_after=5)
    assert rows.loc["long before", ["status", "recounted_count"]].tolist() == ["short", 2]
    assert rows.loc["just before", ["status", "recounted_count"]].tolist() == ["stale", 2]
    assert table(tmp_path, "figures/error_probabilities", tolerance=0)["is_wrong"].notna().sum() == 1


def test_last_change_of_several_records_counts(reconciler_of, tmp_path):
    (tmp_path / "stock.csv").write_text(
        "bin_id,expected_quantity,changed_at\nA,2,2025-12-31 22:00:00\nA,2,2026-01-01\nA,2,\n"
    )
    source = TableRecords(tmp_path / "stock.csv", "stock.csv", {"changed_at": "changed_at"}, aggregate="same")
    reconciler = reconciler_of([photo("A", 10)], [count_row("i/A.jpg", 2)], [], source)
    row = reconciled(reconciler, tmp_path, stale_after=5).loc["A"]
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
def test_table_with_times_of_change_finds_stale_records(reconciler_of, tmp_path, kind):
    times = [time for time, _ in TIMES.values()]
    frame = pd.DataFrame({"touched": times, "expected_quantity": 2, "bin_id": list(TIMES)})
    path = tmp_path / f"stock.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(frame.to_json(orient="records", lines=True))
    photos, counts = [photo(name, 10) for name in TIMES], [count_row(f"i/{name}.jpg", 2) for name in TIMES]
    reconciler = reconciler_of(photos, counts, [], TableRecords(path, path.name, {"changed_at": "touched"}))
    rows = reconciled(reconciler, tmp_path, stale_after=5)
    assert rows["status"].to_dict() == {name: status for name, (_, status) in TIMES.items()}
    unread = {name: TIMES[name][0] for name in ("nonsense", "for ever", "far")}
    assert rows["note"].dropna().to_dict() == {
        name: f"the time of the last change cannot be read: {time}" for name, time in unread.items()
    }


def test_times_in_parquet_keep_their_values(reconciler_of, tmp_path):
    frame = pd.DataFrame({"bin_id": ["A", "B"], "expected_quantity": 2, "changed_at": [CHANGED, pd.NaT]})
    frame.to_parquet(tmp_path / "stock.parquet")
    source = TableRecords(tmp_path / "stock.parquet", "stock.parquet", {"changed_at": "changed_at"})
    photos, counts = [photo("A", 10), photo("B", 10)], [count_row(f"i/{name}.jpg", 2) for name in "AB"]
    reconciler = reconciler_of(photos, counts, [], source)
    rows = reconciled(reconciler, tmp_path, stale_after=5)
    assert rows["status"].to_dict() == {"A": "stale", "B": "match"}
    assert rows.loc["A", "record_changed_at"] == CHANGED < NOW
    assert rows["note"].isna().all()
