"""The join of bins that people have recounted."""

from datetime import UTC, datetime

from tests.unit.reconciliation.rows import count_row, queue, reconciled, record_row, stored, table, verdict


def test_recounted_bin_gets_its_true_status_and_leaves_queue(reconciler_of, tmp_path, verdicts_part):
    # bin: (record as it was, found, record as it is, status)
    bins = {
        "right": (4, 4, 4, "match"),
        "less": (4, 3, 4, "short"),
        "more": (4, 5, 4, "over"),
        "more than a photo tells": (7, 9, 7, "over"),
        "mended": (4, 1, 1, "match"),
    }
    back = {"changed since": (4, 1, 5), "changed photo": (4, 4, 4), "never": (4, None, 4)}
    names = [*bins, *back]
    etags = {"changed photo": "new"}
    reconciler = reconciler_of(
        [stored(f"i/{name}.jpg", etags.get(name, "e")) for name in names],
        [count_row(f"i/{name}.jpg", 1, etags.get(name, "e")) for name in names],
        [record_row(f"r/{name}.json", name, (bins | back)[name][2]) for name in names],
        verdicts=verdicts_part(*(verdict(name, *row[:2]) for name, row in (bins | back).items() if row[1] is not None)),
    )
    rows = reconciled(reconciler, tmp_path)
    assert len(rows) == len(names)
    assert {name: rows.loc[name, "status"] for name in bins} == {name: status for name, (*_, status) in bins.items()}
    assert rows["recounted_count"].dropna().to_dict() == {name: found for name, (_, found, *_) in bins.items()}
    assert sorted(queue(rows)) == sorted(back)
    assert rows["recount_rank"].dropna().sort_values().tolist() == [1, 2, 3]
    assert set(rows["predicted_count"]) == {1}
    assert rows.loc["right", "difference"] == -3
    expectation = table(tmp_path, "figures/error_probabilities", tolerance=1)
    assert expectation["is_wrong"].dropna().sum() == 3
    assert expectation["is_off"].sum() == 1  # seven on record, nine found


def test_verdicts_add_no_rows(reconciler_of, tmp_path, verdicts_part):
    images = [stored("i/a/7.jpg", day=1), stored("i/b/7.jpg", day=9), stored("i/lonely.jpg"), stored("i/broken.jpg")]
    counts = [count_row(image.key, 2) for image in images[:3]] + [count_row("i/broken.jpg", None, reason="damaged")]
    records = [
        record_row("r/7.json", "7", 4), record_row("r/x/7.json", "7", 4), record_row("r/ghost.json", "ghost", 3),
        record_row("r/broken.json", "broken", 3), record_row("r/none.json", None, None, reason="no bin id"),
    ]  # fmt: skip
    nobody = {"bin_id": None, "image_key": None, "image_etag": None, "expected_quantity": None, "true_count": 1}
    every = [
        verdict(name, 4, found, line=line)
        for name in ("7", "lonely", "ghost", "broken")
        for line, found in ((2, 1), (3, 2), (3, 2))
    ]
    reconciler = reconciler_of(images, counts, records, verdicts=verdicts_part(*every, nobody, nobody))
    rows = reconciled(reconciler, tmp_path)
    assert len(rows) == 6
    assert rows["image_key"].dropna().value_counts().to_dict() == {image.key: 1 for image in images}
    assert rows["status"].value_counts().to_dict() == {
        "no_record": 2, "short": 1, "no_image": 1, "unreadable_image": 1, "invalid_record": 1,
    }  # fmt: skip
    assert rows.set_index("image_key")["recounted_count"].dropna().to_dict() == {"i/b/7.jpg": 2}


def test_last_of_several_verdicts_is_used(reconciler_of, tmp_path, verdicts_part):
    later = datetime(2026, 1, 3, tzinfo=UTC)
    verdicts = verdicts_part(
        verdict("1", 4, 1, imported_at=later, line=2),
        verdict("1", 4, 3, imported_at=later, line=9),
        verdict("1", 4, 4),
    )
    records = [record_row("r/1.json", "1", 4)]
    reconciler = reconciler_of([stored("i/1.jpg")], [count_row("i/1.jpg", 1)], records, verdicts=verdicts)
    assert reconciled(reconciler, tmp_path).loc["1", "recounted_count"] == 3
