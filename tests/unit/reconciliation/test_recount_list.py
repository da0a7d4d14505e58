"""recount.csv, the list that people take to the shelves."""

import csv
import re

import pytest

from reconcile.verdicts.csv_file import read_verdict_file
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
            assert {len(row) for row in rows} == {13}
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
