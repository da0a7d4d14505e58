"""recount.csv, the list that people take to the shelves, and recount.jsonl, count tasks for other systems."""

import csv
import json
import re

import pytest

from reconcile.reconciliation.results import Results
from reconcile.verdicts.csv_file import read_verdict_file
from tests.conftest import LABELS
from tests.unit.reconciliation.rows import count_row, reconciled, record_row, recount_list, stored


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_recount_list_has_no_formula_after_any_split(reconciler_of, tmp_path, separator):
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
    reconciler = reconciler_of(
        [stored(f"{name}.jpg") for name in hostile],
        [count_row(f"{name}.jpg", 1) for name in hostile],
        [record_row(f"{name}.json", name, 4, items=item) for name, item in zip(hostile, items, strict=True)],
    )
    reconciled(reconciler, tmp_path)
    assert len(recount_list(tmp_path)) == len(hostile)
    with (tmp_path / "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        if separator == ",":
            rows = list(csv.reader(file))
            assert {len(row) for row in rows} == {15}
        else:  # Excel with another separator ignores the quotes around a cell
            rows = [line.split(separator) for line in re.split("[\r\n]", file.read())]
    cells = [cell.strip(' "') for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))]
    good, bad = read_verdict_file(filled_in(tmp_path / "recount.csv", 4))
    assert bad == []
    assert {line.image_key for line in good} == {f"{name}.jpg" for name in hostile}


def filled_in(path, count: int):
    """Return the list as a person fills it in who counts `count` items in every bin."""
    filled = path.with_name("filled.csv")
    with path.open(newline="", encoding="utf-8-sig") as unfilled, filled.open("w", newline="") as file:
        rows = csv.DictReader(unfilled)
        writer = csv.DictWriter(file, rows.fieldnames)
        writer.writeheader()
        writer.writerows(row | {"true_count": count} for row in rows)
    return filled


def test_recount_list_ends_at_capacity(reconciler_of, tmp_path):
    seen = {"a": (3, 3), "b": (1, 4), "c": (2, 2), "d": (5, 4), "e": (6, 6)}
    reconciler = reconciler_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (count, _) in seen.items()],
        [record_row(f"r/{name}.json", name, quantity) for name, (_, quantity) in seen.items()],
    )
    reconciled(reconciler, tmp_path)
    cells = recount_list(tmp_path, capacity=2)
    assert cells["bin_id"].tolist() == ["d", "b"]
    assert cells["recount_rank"].tolist() == ["1", "2"]
    assert cells["likely_if_wrong"].tolist() == ["5", "1"]
    assert set(cells["run_id"]) == {"run-1"}
    assert set(cells["true_count"]) == set(cells["note"]) == {""}
    assert len(recount_list(tmp_path, capacity=100)) == 5


def test_long_list_of_items_fits_into_a_cell(reconciler_of, tmp_path):
    items = [{"asin": f"B{n}", "name": "n" * 500, "quantity": 1} for n in range(400)]
    reconciler = reconciler_of(
        [stored("i/1.jpg")], [count_row("i/1.jpg", 1)], [record_row("r/1.json", "1", 4, items=items)]
    )
    reconciled(reconciler, tmp_path)
    assert len(recount_list(tmp_path)["items"][0]) == 32_000  # Excel takes 32,767


WHERE = r"(?P<pod>(?P<aisle>[A-Z]+)-\d+)"


def lists_of(reconciler_of, tmp_path, bins: dict[str, str], where=WHERE):
    """Return the lines of recount.csv and of recount.jsonl for bins with the keys of their photos."""
    reconciler = reconciler_of(
        [stored(key) for key in bins.values()],
        [count_row(key, 1) for key in bins.values()],
        [record_row(f"{name}.json", name, 4, items=[{"asin": "B0", "name": "=x", "quantity": 4}]) for name in bins],
    )
    reconciled(reconciler, tmp_path)
    with Results(tmp_path / "reconciled.parquet", LABELS, tmp_path) as results:
        results.write_recount_list(tmp_path / "recount.csv", "run-1", 100, where)
        results.write_count_tasks(tmp_path / "recount.jsonl", "run-1", 100, where)
    with (tmp_path / "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    return lines, [json.loads(line) for line in (tmp_path / "recount.jsonl").read_text().splitlines()]


def test_lists_have_location_and_walking_order(reconciler_of, tmp_path):
    bins = ["B-1-1", "A-10-1", "A-9-2", "A-9-10", "nowhere"]
    lines, tasks = lists_of(reconciler_of, tmp_path, {name: f"{name}.jpg" for name in bins})
    assert list(lines[0])[-6:] == [
        "true_count",
        "note",
        "likely_count",
        "walking_order",
        "location_pod",
        "location_aisle",
    ]
    walked = sorted(lines, key=lambda line: int(line["walking_order"]))
    assert [line["bin_id"] for line in walked] == ["A-9-2", "A-9-10", "A-10-1", "B-1-1", "nowhere"]
    assert [line["location_pod"] for line in walked] == ["A-9", "A-9", "A-10", "B-1", ""]
    assert {line["likely_count"] for line in lines} == {"1"}
    assert [task["walking_order"] for task in tasks] == [int(line["walking_order"]) for line in lines]
    by_bin = {task["bin_id"]: task["location"] for task in tasks}
    assert by_bin["A-9-10"] == {"pod": "A-9", "aisle": "A"}
    assert by_bin["nowhere"] == {"pod": None, "aisle": None}


def test_location_of_the_photo_is_used_and_guarded_in_csv(reconciler_of, tmp_path):
    [line], [task] = lists_of(reconciler_of, tmp_path, {"1": "=A/1.jpg"}, r"(?P<Note>=[A-Z'])")
    assert (line["location_Note"], task["location"]) == ("'=A", {"Note": "=A"})


def test_count_task_answered_with_a_count_is_a_verdict(reconciler_of, tmp_path):
    lines, [task] = lists_of(reconciler_of, tmp_path, {"7": "i/7.jpg"}, where=None)
    assert not [name for name in lines[0] if name.startswith("location_")]
    assert task | {"p_wrong": 0, "units_off": 0} == {
        "schema": "reconcile.count-task/1",
        "task_id": "run-1/7",
        "run_id": "run-1",
        "bin_id": "7",
        "image_key": "i/7.jpg",
        "location": None,
        "walking_order": 1,
        "priority": 1,
        "expected_quantity": 4,
        "predicted_count": "1",
        "likely_count": "1",
        "likely_if_wrong": "1",
        "p_wrong": 0,
        "units_off": 0,
        "value_off": None,
        "items": [{"product_id": "B0", "name": "=x", "quantity": 4}],
        "true_count": None,
        "note": None,
    }
    assert 0.5 < task["p_wrong"] <= 1
    answer = tmp_path / "answer.jsonl"
    answer.write_text(json.dumps(task | {"true_count": 2, "counted_by": "AGV 3"}) + "\n" + json.dumps(task) + "\n")
    [verdict], invalid = read_verdict_file(answer)
    assert (verdict.bin_id, verdict.run_id, verdict.true_count, verdict.counted_by) == ("7", "run-1", 2, "AGV 3")
    assert invalid == []
