"""The order of the recount queue."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.inputs.unit_costs import COSTS_SCHEMA
from reconcile.labels import CountLabels
from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from tests.unit.reconciliation.rows import count_row, queue, reconciled, record_row, scorer_of, stored


def reconciler_of_units(reconciler_of, costs: pa.Table) -> Reconciler:
    """Return bins named after their errors and costs. The name states by how many items the photo differs."""
    seen = {
        "one_item": (3, 2, "CHEAP"),
        "five_items": (6, 1, "CHEAP"),
        "one_expensive": (4, 3, "EXPENSIVE"),
        "right_expensive": (2, 2, "EXPENSIVE"),
        "without_cost": (5, 1, "NEW"),
    }
    return reconciler_of(
        [stored(f"i/{name}.jpg") for name in seen],
        [count_row(f"i/{name}.jpg", count) for name, (count, _, _) in seen.items()],
        [
            record_row(f"r/{name}.json", name, quantity, items=[{"asin": asin, "name": asin, "quantity": quantity}])
            for name, (_, quantity, asin) in seen.items()
        ],
        costs=costs,
    )


def test_queue_is_ranked_by_probability_units_or_value(reconciler_of, tmp_path):
    costs = pa.table({"asin": ["CHEAP", "EXPENSIVE"], "unit_cost": [1.0, 1000.0]}, schema=COSTS_SCHEMA)
    reconciler = reconciler_of_units(reconciler_of, costs)
    assert queue(reconciled(reconciler, tmp_path, "probability"))[:2] == ["one_expensive", "one_item"]
    assert queue(reconciled(reconciler, tmp_path, "units"))[:2] == ["five_items", "without_cost"]
    rows = reconciled(reconciler, tmp_path, "value")
    assert queue(rows) == ["one_expensive", "five_items", "one_item", "right_expensive", "without_cost"]
    assert rows.loc["five_items", "value_off"] == pytest.approx(rows.loc["five_items", "units_off"])
    assert rows.loc["one_expensive", "value_off"] == pytest.approx(1000 * rows.loc["one_expensive", "units_off"])
    assert pd.isna(rows.loc["without_cost", "value_off"])


def test_value_uses_the_average_cost_of_items(reconciler_of, tmp_path):
    items = [
        {"asin": "A", "name": None, "quantity": 3}, {"asin": "B", "name": None, "quantity": 1},
        {"asin": "A", "name": None, "quantity": None}, {"asin": None, "name": None, "quantity": 9},
        {"asin": "UNKNOWN", "name": None, "quantity": 5}, {"asin": "B", "name": None, "quantity": 0},
    ]  # fmt: skip
    records = [record_row("r/1.json", "1", 4, items=items)]
    costs = pa.table({"asin": ["A", "B"], "unit_cost": [10.0, 110.0]}, schema=COSTS_SCHEMA)
    reconciler = reconciler_of([stored("i/1.jpg")], [count_row("i/1.jpg", 1)], records, costs=costs)
    rows = reconciled(reconciler, tmp_path, "value")
    assert rows.loc["1", "value_off"] == pytest.approx(rows.loc["1", "units_off"] * (3 * 10 + 110 + 10) / 5)


CLOSED = CountLabels(("0", "1", "2", "5"))


def test_records_beyond_all_labels_are_queued_last(tmp_path):
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
    parts = StoredParts([str(tmp_path / "counts.parquet")], [str(tmp_path / "records.parquet")])
    reconciler = Reconciler(tmp_path, CLOSED, JsonRecords(), parts)
    list(reconciler.new_images([[stored(row["image_key"]) for row in counts]], None))
    list(reconciler.new_records([[stored(row["record_key"]) for row in records]], only_of_images=False))
    reconciler.reconcile(tmp_path / "reconciled.parquet", scorer_of(CLOSED), "probability")
    reconciler.close()
    rows = pd.read_parquet(tmp_path / "reconciled.parquet")
    assert len(rows) == number
    covered = rows["expected_quantity"].isin(CLOSED.values)
    assert rows.loc[covered, "p_wrong"].notna().all()
    assert rows.loc[~covered, ["p_wrong", "units_off", "likely_label"]].isna().all(axis=None)
    assert set(rows.loc[~covered, "status"]) == {"short"}
    assert rows.loc[covered, "recount_rank"].max() < rows.loc[~covered, "recount_rank"].min()
