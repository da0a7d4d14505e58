"""What is first in the queue."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.inputs.unit_costs import COSTS_SCHEMA
from reconcile.labels import CountLabels
from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler
from tests.unit.reconciliation.rows import count_row, judge_of, queue, reconciled, record_row, stored


def units_night(night_of) -> Reconciler:
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
    night = Reconciler(tmp_path, CLOSED, [str(tmp_path / "counts.parquet")], [str(tmp_path / "records.parquet")])
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
