"""Figures of sql/figures/ over joined rows."""

import pytest

from tests.unit.reconciliation.rows import count_row, reconciled, record_row, stored, table


def test_accuracy_by_count_matches_its_definition(reconciler_of, tmp_path):
    seen = {"a": (2, 2), "b": (2, 2), "c": (2, 1), "d": (2, 4), "e": (5, 5)}
    reconciler = reconciler_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (_, count) in seen.items()],
        [record_row(f"r/{name}.json", name, quantity) for name, (quantity, _) in seen.items()],
    )
    reconciled(reconciler, tmp_path)
    rows = table(tmp_path, "figures/accuracy_by_count").set_index("count_class")
    two = rows.loc["2"]
    assert (two["n"], two["accuracy"], two["mean_signed_error"]) == (4, 0.5, 0.25)
    assert two["rmse"] == pytest.approx((5 / 4) ** 0.5)
    # Wilson's interval for 2 of 4 (scipy.stats.binomtest(2, 4).proportion_ci(method="wilson"))
    assert (two["accuracy_low"], two["accuracy_high"]) == pytest.approx((0.150036, 0.849964), abs=1e-5)
    assert (rows.loc["all", "n"], rows.loc["all", "accuracy"]) == (5, 0.6)
    confusion = table(tmp_path, "figures/confusion")
    assert confusion["bins"].sum() == 5
    assert confusion.query("expected_count == 2 and predicted_count == 4")["bins"].tolist() == [1]


def test_reasons_list_the_most_frequent_of_each_status(reconciler_of, tmp_path):
    records = [record_row(f"r/{n}.json", str(n), None, reason=f"reason {n}") for n in range(30)]
    reconciler = reconciler_of([stored("i/lonely.jpg")], [count_row("i/lonely.jpg", 1)], records)
    reconciled(reconciler, tmp_path)
    problems = table(tmp_path, "figures/reasons", most=10)
    assert problems["status"].tolist() == ["invalid_record"] * 10 + ["no_record"]
    assert problems["left_out"].tolist() == [0] * 9 + [20, 0]


def test_items_by_asin_counts_bins_and_items(reconciler_of, tmp_path):
    items = [{"asin": "B1", "name": "Soap", "quantity": 2}, {"asin": "B2", "name": None, "quantity": None}]
    records = [record_row("r/1.json", "1", 4, items=items), record_row("r/2.json", "2", 1, items=2 * items[:1]),
               record_row("r/3.json", "3", 3, items=items)]  # fmt: skip
    reconciler = reconciler_of(
        [stored(f"i/{n}.jpg") for n in (1, 2, 3)], [count_row(f"i/{n}.jpg", 3) for n in (1, 2, 3)], records
    )
    reconciled(reconciler, tmp_path)
    products = table(tmp_path, "figures/items_by_asin", most=10).set_index("asin")
    assert products.loc["B1", ["bins", "items_on_record", "short_bins", "over_bins"]].tolist() == [3, 8, 1, 1]
    assert products.loc["B2", "bins"] == 2
