"""The join, on real rows in DuckDB: every image and every record ends in exactly one row with one status and rank."""

import csv
import re
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.bucket import StoredObject
from reconcile.costs import COSTS_SCHEMA
from reconcile.discrepancy import ErrorModel
from reconcile.error_learning import learn_errors
from reconcile.errors import ReconcileError, UsageError
from reconcile.judging import Judge
from reconcile.labels import CountLabels
from reconcile.reconciliation import Night
from reconcile.results import Results
from reconcile.store import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.verdict_file import read_verdict_file
from tests.conftest import LABELS

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def stored(key: str, etag: str = "e", day: int = 1) -> StoredObject:
    return StoredObject(key, 10, etag, datetime(2026, 1, day, tzinfo=UTC))


def count_row(key: str, count: int | None, etag: str = "e", doubt: float = 1e-5, **changes) -> dict:
    """A count that leaves `doubt` to each other label."""
    row = {"image_key": key, "etag": etag, "try_again": False, "counted_at": NOW}
    if count is not None:
        shares = [doubt] * 7
        shares[count] = 1 - 6 * doubt
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


def judge_of(labels: CountLabels = LABELS, tolerance: int = 0) -> Judge:
    share = 1 / len(labels.names)
    return Judge(labels, (share,) * len(labels.names), learn_errors(ErrorModel(0.03), None, labels), tolerance)


def reconciled(night: Night, tmp_path, rank_by: str = "probability") -> pd.DataFrame:
    night.reconcile(tmp_path / "reconciled.parquet", judge_of(), rank_by)
    return pd.read_parquet(tmp_path / "reconciled.parquet").set_index("bin_id", drop=False)


def table(tmp_path, name: str, **parameters) -> pd.DataFrame:
    with Results(tmp_path / "reconciled.parquet", LABELS, tmp_path) as results:
        return results.table(name, **parameters)


def recount_list(tmp_path, capacity: int = 100) -> pd.DataFrame:
    with Results(tmp_path / "reconciled.parquet", LABELS, tmp_path) as results:
        results.write_recount_list(tmp_path / "recount.csv", "night-1", capacity)
    return pd.read_csv(tmp_path / "recount.csv", dtype=str, keep_default_na=False)


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
    assert rows["recount_rank"].dropna().to_dict() == {"fewer": 1, "more": 2, "same": 3}
    assert rows.loc["same", "p_wrong"] < 0.001 < 0.98 < rows.loc["fewer", "p_wrong"]
    totals = table(tmp_path, "totals")
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
    assert rows.loc["9", "p_wrong"] == rows.loc["50", "p_wrong"] == rows.loc["6", "p_wrong"] < 0.001
    classes = table(tmp_path, "accuracy_by_count").set_index("count_class")
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
    reconciled(night, tmp_path)
    rows = table(tmp_path, "accuracy_by_count").set_index("count_class")
    two = rows.loc["2"]
    assert (two["n"], two["accuracy"], two["mean_signed_error"]) == (4, 0.5, 0.25)
    assert two["rmse"] == pytest.approx((5 / 4) ** 0.5)
    # Wilson's interval for 2 of 4 (scipy.stats.binomtest(2, 4).proportion_ci(method="wilson"))
    assert (two["accuracy_low"], two["accuracy_high"]) == pytest.approx((0.150036, 0.849964), abs=1e-5)
    assert (rows.loc["all", "n"], rows.loc["all", "accuracy"]) == (5, 0.6)
    confusion = table(tmp_path, "confusion")
    assert confusion["bins"].sum() == 5
    assert confusion.query("expected_count == 2 and predicted_count == 4")["bins"].tolist() == [1]


def test_every_status_keeps_its_place_among_the_problems(night_of, tmp_path):
    records = [record_row(f"r/{n}.json", str(n), None, reason=f"reason {n}") for n in range(30)]
    night = night_of([stored("i/lonely.jpg")], [count_row("i/lonely.jpg", 1)], records)
    reconciled(night, tmp_path)
    problems = table(tmp_path, "problems", most=10)
    assert problems["status"].tolist() == ["invalid_record"] * 10 + ["no_record"]
    assert problems["left_out"].tolist() == [0] * 9 + [20, 0]


def test_a_part_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "part.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ReconcileError, match=r"cannot read the counts in <out>: .*part\.parquet"):
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
    reconciled(night, tmp_path)
    products = table(tmp_path, "items_by_asin", most=10).set_index("asin")
    assert products.loc["B1", ["bins", "items_on_record", "short_bins", "over_bins"]].tolist() == [3, 6, 1, 1]
    assert products.loc["B2", "bins"] == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_the_recount_list_is_a_formula_wherever_a_spreadsheet_splits_it(night_of, tmp_path, separator):
    hostile = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "＝1",
        "a;=1",
        "b\t+1",
        "c\n@x",
        'd;"=1"',
        "e\r\n -1",
    ]
    items = [[{"asin": name, "name": name, "quantity": None}] for name in hostile]
    night = night_of(
        [stored(f"{name}.jpg") for name in hostile],
        [count_row(f"{name}.jpg", 1) for name in hostile],
        [record_row(f"{name}.json", name, 4, items=item) for name, item in zip(hostile, items, strict=True)],
    )
    reconciled(night, tmp_path)
    assert len(recount_list(tmp_path)) == len(hostile)
    with (tmp_path / "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        if separator == ",":
            rows = list(csv.reader(file))
            assert {len(row) for row in rows} == {13}
        else:  # another country's Excel: quotes within a cell mean nothing to it
            rows = [line.split(separator) for line in re.split("[\r\n]", file.read())]
    cells = [cell.strip(' "') for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))]
    good, bad = read_verdict_file(filled_in(tmp_path / "recount.csv", 4))
    assert bad == []
    assert {line.image_key for line in good} == {f"{name}.jpg" for name in hostile}


def filled_in(path, count: int):
    """The list as a person hands it in who found `count` items in every bin."""
    filled = path.with_name("filled.csv")
    with path.open(newline="", encoding="utf-8-sig") as unfilled, filled.open("w", newline="") as file:
        rows = csv.DictReader(unfilled)
        writer = csv.DictWriter(file, rows.fieldnames)
        writer.writeheader()
        writer.writerows(row | {"true_count": count} for row in rows)
    return filled


def test_the_recount_list_is_as_long_as_people_can_walk(night_of, tmp_path):
    seen = {"a": (3, 3), "b": (1, 4), "c": (2, 2), "d": (5, 4), "e": (6, 6)}
    night = night_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (count, _) in seen.items()],
        [record_row(f"r/{name}.json", name, quantity) for name, (_, quantity) in seen.items()],
    )
    reconciled(night, tmp_path)
    cells = recount_list(tmp_path, capacity=2)
    assert cells["bin_id"].tolist() == ["d", "b"]
    assert cells["recount_rank"].tolist() == ["1", "2"]
    assert cells["likely_if_wrong"].tolist() == ["5", "1"]
    assert set(cells["run_id"]) == {"night-1"}
    assert set(cells["true_count"]) == set(cells["note"]) == {""}
    assert len(recount_list(tmp_path, capacity=100)) == 5


def test_a_very_long_list_of_items_fits_into_a_cell(night_of, tmp_path):
    items = [{"asin": f"B{n}", "name": "n" * 500, "quantity": 1} for n in range(400)]
    night = night_of([stored("i/1.jpg")], [count_row("i/1.jpg", 1)], [record_row("r/1.json", "1", 4, items=items)])
    reconciled(night, tmp_path)
    assert len(recount_list(tmp_path)["items"][0]) == 32_000  # Excel takes 32,767


def test_an_unsure_photo_gives_way_to_the_record_and_keeps_its_own_word(night_of, tmp_path):
    night = night_of(
        [stored("i/sure.jpg"), stored("i/unsure.jpg")],
        [count_row("i/sure.jpg", 1), count_row("i/unsure.jpg", 1, doubt=0.1)],
        [record_row("r/sure.json", "sure", 4), record_row("r/unsure.json", "unsure", 4)],
    )
    rows = reconciled(night, tmp_path)
    assert rows["status"].to_dict() == {"sure": "short", "unsure": "match"}
    assert rows["predicted_count"].tolist() == [1, 1]
    assert rows["difference"].tolist() == [-3, -3]
    assert rows.loc["unsure", "likely_label"] == "4"
    assert rows.loc["unsure", "label_if_wrong"] == "1"


def units_night(night_of) -> Night:
    """near: off by one; far: surely off by five; dear: off by one, and costly."""
    seen = {
        "near": (3, 2, "CHEAP"),
        "far": (6, 1, "CHEAP"),
        "dear": (4, 3, "DEAR"),
        "right": (2, 2, "DEAR"),
        "odd": (5, 1, "NEW"),
    }
    return night_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (count, _, _) in seen.items()],
        [
            record_row(f"r/{name}.json", name, quantity, items=[{"asin": asin, "name": asin, "quantity": quantity}])
            for name, (_, quantity, asin) in seen.items()
        ],
    )


def queue(rows: pd.DataFrame) -> list[str]:
    return rows.dropna(subset="recount_rank").sort_values("recount_rank")["bin_id"].tolist()


def test_the_queue_is_ranked_by_probability_units_or_value(night_of, tmp_path):
    night = units_night(night_of)
    night.use_costs(pa.table({"asin": ["CHEAP", "DEAR"], "unit_cost": [1.0, 1000.0]}, schema=COSTS_SCHEMA))
    assert queue(reconciled(night, tmp_path, "probability"))[:2] == ["dear", "near"]
    assert queue(reconciled(night, tmp_path, "units"))[:2] == ["far", "odd"]
    rows = reconciled(night, tmp_path, "value")
    assert queue(rows) == ["dear", "far", "near", "right", "odd"]  # no cost of odd is known
    assert rows.loc["far", "value_off"] == pytest.approx(rows.loc["far", "units_off"])
    assert rows.loc["dear", "value_off"] == pytest.approx(1000 * rows.loc["dear", "units_off"])
    assert pd.isna(rows.loc["odd", "value_off"])


def test_a_bin_of_several_products_costs_what_its_items_cost_on_average(night_of, tmp_path):
    items = [
        {"asin": "A", "name": None, "quantity": 3}, {"asin": "B", "name": None, "quantity": 1},
        {"asin": "A", "name": None, "quantity": None}, {"asin": None, "name": None, "quantity": 9},
        {"asin": "UNKNOWN", "name": None, "quantity": 5}, {"asin": "B", "name": None, "quantity": 0},
    ]  # fmt: skip
    night = night_of([stored("i/1.jpg")], [count_row("i/1.jpg", 1)], [record_row("r/1.json", "1", 4, items=items)])
    night.use_costs(pa.table({"asin": ["A", "B"], "unit_cost": [10.0, 110.0]}, schema=COSTS_SCHEMA))
    rows = reconciled(night, tmp_path, "value")
    assert rows.loc["1", "value_off"] == pytest.approx(rows.loc["1", "units_off"] * (3 * 10 + 110 + 10) / 5)


@pytest.fixture
def verdicts_part(tmp_path):
    """Writes verdicts as a Parquet part."""

    def write(*rows: dict) -> list[str]:
        usual = {
            "run_id": "before", "image_etag": "e", "p_wrong": 0.5, "labels": list(LABELS.names),
            "probabilities": [1 / 7] * 7, "line": 2, "imported_at": NOW,
        }  # fmt: skip
        path = tmp_path / "verdicts.parquet"
        pq.write_table(pa.Table.from_pylist([usual | row for row in rows], VERDICTS_SCHEMA), path)
        return [str(path)]

    return write


def verdict(bin_id: str, record: int, found: int, **changes) -> dict:
    return {
        "bin_id": bin_id,
        "image_key": f"i/{bin_id}.jpg",
        "expected_quantity": record,
        "true_count": found,
    } | changes


def test_what_was_recounted_has_the_status_that_was_found_and_is_not_queued_again(night_of, tmp_path, verdicts_part):
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
    night = night_of(
        [stored(f"i/{name}.jpg", etags.get(name, "e")) for name in names],
        [count_row(f"i/{name}.jpg", 1, etags.get(name, "e")) for name in names],
        [record_row(f"r/{name}.json", name, (bins | back)[name][2]) for name in names],
    )
    found = [verdict(name, *row[:2]) for name, row in (bins | back).items() if row[1] is not None]
    night.use_verdicts(verdicts_part(*found))
    rows = reconciled(night, tmp_path)
    assert len(rows) == len(names)
    assert {name: rows.loc[name, "status"] for name in bins} == {name: status for name, (*_, status) in bins.items()}
    assert rows["recounted_count"].dropna().to_dict() == {name: found for name, (_, found, *_) in bins.items()}
    assert sorted(queue(rows)) == sorted(back)
    assert rows["recount_rank"].dropna().sort_values().tolist() == [1, 2, 3]
    assert set(rows["predicted_count"]) == {1}
    assert rows.loc["right", "difference"] == -3
    expectation = table(tmp_path, "expectation", tolerance=1)
    assert expectation["is_wrong"].dropna().sum() == 3
    assert expectation["is_off"].sum() == 1  # seven on record, nine found


def test_verdicts_multiply_no_row(night_of, tmp_path, verdicts_part):
    images = [stored("i/a/7.jpg", day=1), stored("i/b/7.jpg", day=9), stored("i/lonely.jpg"), stored("i/broken.jpg")]
    counts = [count_row(image.key, 2) for image in images[:3]] + [count_row("i/broken.jpg", None, reason="damaged")]
    records = [
        record_row("r/7.json", "7", 4), record_row("r/x/7.json", "7", 4), record_row("r/ghost.json", "ghost", 3),
        record_row("r/broken.json", "broken", 3), record_row("r/none.json", None, None, reason="no bin id"),
    ]  # fmt: skip
    night = night_of(images, counts, records)
    nobody = {"bin_id": None, "image_key": None, "image_etag": None, "expected_quantity": None, "true_count": 1}
    every = [
        verdict(name, 4, found, line=line)
        for name in ("7", "lonely", "ghost", "broken")
        for line, found in ((2, 1), (3, 2), (3, 2))
    ]
    night.use_verdicts(verdicts_part(*every, nobody, nobody))
    rows = reconciled(night, tmp_path)
    assert len(rows) == 6
    assert rows["image_key"].dropna().value_counts().to_dict() == {image.key: 1 for image in images}
    assert rows["status"].value_counts().to_dict() == {
        "no_record": 2, "short": 1, "no_image": 1, "unreadable_image": 1, "invalid_record": 1,
    }  # fmt: skip
    assert rows.set_index("image_key")["recounted_count"].dropna().to_dict() == {"i/b/7.jpg": 2}


def test_of_several_verdicts_on_a_photo_the_last_holds(night_of, tmp_path, verdicts_part):
    night = night_of([stored("i/1.jpg")], [count_row("i/1.jpg", 1)], [record_row("r/1.json", "1", 4)])
    later = datetime(2026, 1, 3, tzinfo=UTC)
    night.use_verdicts(
        verdicts_part(
            verdict("1", 4, 1, imported_at=later, line=2),
            verdict("1", 4, 3, imported_at=later, line=9),
            verdict("1", 4, 4),
        )
    )
    assert reconciled(night, tmp_path).loc["1", "recounted_count"] == 3


CLOSED = CountLabels(("0", "1", "2", "5"))


def test_records_that_no_label_covers_are_queued_last_and_hold_nothing_up(tmp_path):
    number = 600
    counts = [
        count_row(f"i/{n}.jpg", None) | {
            "predicted_label": "2", "predicted_count": 2, "probabilities": [0.01, 0.01, 0.97, 0.01],
        }
        for n in range(number)
    ]  # fmt: skip
    quantities = [2, 9, 3, 1, 1_000_000_000_000, 2]
    records = [record_row(f"r/{n}.json", str(n), quantities[n % 6]) for n in range(number)]
    pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), tmp_path / "counts.parquet")
    pq.write_table(pa.Table.from_pylist(records, RECORDS_SCHEMA), tmp_path / "records.parquet")
    night = Night(tmp_path, CLOSED, [str(tmp_path / "counts.parquet")], [str(tmp_path / "records.parquet")])
    list(night.new_images([[stored(row["image_key"]) for row in counts]], None))
    list(night.new_records([[stored(row["record_key"]) for row in records]], only_of_images=False))
    night.use_json_records()
    night.reconcile(tmp_path / "reconciled.parquet", judge_of(CLOSED), "probability")
    night.close()
    rows = pd.read_parquet(tmp_path / "reconciled.parquet")
    assert len(rows) == number
    told = rows["expected_quantity"].isin(CLOSED.values)
    assert rows.loc[told, "p_wrong"].notna().all()
    assert rows.loc[~told, ["p_wrong", "units_off", "likely_label"]].isna().all(axis=None)
    assert set(rows.loc[~told, "status"]) == {"short"}
    assert rows.loc[told, "recount_rank"].max() < rows.loc[~told, "recount_rank"].min()


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
    rows = reconciled(night, tmp_path).reset_index(drop=True)
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
