"""Figures of sql/figures/, compared with the same figures from numpy or by hand."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.errors import ReconcileError
from reconcile.metrics.calibration import reliability, risk_coverage
from reconcile.reconciliation.results import Results
from tests.conftest import LABELS


@pytest.fixture
def rows():
    """Return 300 compared bins of two aisles, each with one of three products, and two bins that were not compared."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.full(7, 0.4), size=300).astype(np.float32)
    record = rng.integers(0, 7, size=300)
    counted = probabilities.argmax(axis=1)
    compared = pd.DataFrame(
        {
            "bin_id": [f"{'AB'[n % 2]}-{n:03d}" for n in range(300)],
            "image_key": [f"i/{n}.jpg" for n in range(300)],
            "status": np.where(counted < record, "short", np.where(counted > record, "over", "match")),
            "predicted_count": counted,
            "difference": counted - record,
            "expected_quantity": record,
            "probabilities": list(probabilities),
            "p_wrong": rng.random(300) / 4,
            "recount_rank": np.arange(1, 301),
            "recounted_count": [None] * 300,
            "items": [[{"asin": f"P{n % 3}", "name": f"product {n % 3}", "quantity": 2}] for n in range(300)],
        }
    )
    others = pd.DataFrame({"bin_id": ["C-1", "C-2"], "status": ["no_image", "no_record"]})
    return pd.concat([compared, others], ignore_index=True).convert_dtypes()


@pytest.fixture
def results(rows, tmp_path):
    with Results(write(rows, tmp_path / "reconciled.parquet"), LABELS, tmp_path) as opened:
        yield opened


def write(rows, path):
    table = pa.Table.from_pandas(rows, preserve_index=False)
    index = table.schema.get_field_index("probabilities")
    lists = pa.array([None if value is None else list(value) for value in table["probabilities"].to_pylist()])
    table = table.set_column(index, "probabilities", lists.cast(pa.list_(pa.float32())))
    index = table.schema.get_field_index("recounted_count")
    pq.write_table(table.set_column(index, "recounted_count", table["recounted_count"].cast(pa.int64())), path)
    return path


def certainty(rows):
    compared = rows[rows["p_wrong"].notna()]
    largest = np.array([max(row) for row in compared["probabilities"]], dtype=np.float64)
    return largest, (compared["difference"] == 0).to_numpy(dtype=bool)


def test_coverage_equals_risk_coverage(results, rows):
    table = results.table("figures/coverage")
    expected = risk_coverage(*certainty(rows))
    assert table["percent"].tolist() == [round(100 * point.share) for point in expected]
    assert table["photos"].tolist() == [point.photos for point in expected]
    assert (table["agreeing"] / table["photos"]).tolist() == pytest.approx([point.accuracy.value for point in expected])
    assert table["least_probability"].tolist() == pytest.approx([point.least_probability for point in expected])


def test_reliability_equals_that_of_metrics(results, rows):
    table = results.table("figures/reliability").set_index("bin_index")
    expected = {index: row for index, row in enumerate(reliability(*certainty(rows))) if row.photos}
    assert table.index.tolist() == list(expected)
    for index, row in expected.items():
        assert table.loc[index, "photos"] == row.photos
        assert table.loc[index, "probability"] == pytest.approx(row.probability)
        assert table.loc[index, "agreeing"] / row.photos == pytest.approx(row.accuracy.value)


@pytest.mark.parametrize("bins", [1, 2, 7, 99])
def test_coverage_of_few_bins_has_every_percent(rows, bins, tmp_path):
    few = rows.head(bins)[["bin_id", "image_key", "status", "difference"]].assign(status="match")
    path = tmp_path / "few.parquet"
    probabilities = pa.array([[0.5, 0.5]] * bins, pa.list_(pa.float32()))
    pq.write_table(pa.Table.from_pandas(few, preserve_index=False).append_column("probabilities", probabilities), path)
    with Results(path, LABELS, tmp_path) as results:
        table = results.table("figures/coverage")
    assert table["percent"].tolist() == list(range(1, 101))
    assert table["photos"].tolist() == [-(-percent * bins // 100) for percent in range(1, 101)]


def test_largest_excess_of_wrong_records_comes_first(results, rows):
    compared = rows[rows["p_wrong"].notna()]
    average = compared["p_wrong"].mean()
    for table, name, groups in (
        (results.table("figures/items_by_asin", most=10), "asin", [items[0]["asin"] for items in compared["items"]]),
        (
            results.table("figures/discrepancies_by_part", pattern=r"^([A-Z])-", part=1, most=10, capacity=40),
            "part",
            compared["bin_id"].str[0].tolist(),
        ),
    ):
        expected = compared.assign(group=groups).groupby("group")["p_wrong"].agg(["sum", "count"])
        excess = (expected["sum"] - average * expected["count"]).sort_values(ascending=False)
        assert table[name].tolist() == excess.index.tolist()
        assert table["excess"].tolist() == pytest.approx(excess.tolist())
        assert table["expected_wrong"].sum() == pytest.approx(compared["p_wrong"].sum())
        assert table["bins"].sum() == 300
    assert table["queued"].sum() == 40


def test_recounted_bins_count_as_wrong_or_correct(rows, tmp_path):
    is_in_a = rows["bin_id"].str.startswith("A")
    rows.loc[is_in_a, "recounted_count"] = rows.loc[is_in_a, "expected_quantity"]
    rows.loc[0, "recounted_count"] = rows.loc[0, "expected_quantity"] + 1
    with Results(write(rows, tmp_path / "recounted.parquet"), LABELS, tmp_path) as results:
        aisles = results.table("figures/discrepancies_by_part", pattern=r"^([A-Z])-", part=1, most=10, capacity=40)
        products = results.table("figures/items_by_asin", most=10)
    expected = aisles.set_index("part")["expected_wrong"]
    assert expected["A"] == 1
    assert expected["B"] == pytest.approx(rows.loc[rows["bin_id"].str.startswith("B"), "p_wrong"].sum())
    assert products["expected_wrong"].sum() == pytest.approx(expected.sum())


def test_product_named_twice_in_a_record_is_one_bin(rows, tmp_path):
    rows.at[0, "items"] = [{"asin": "TWICE", "name": "t", "quantity": 2}, {"asin": "TWICE", "name": "t", "quantity": 3}]
    with Results(write(rows, tmp_path / "twice.parquet"), LABELS, tmp_path) as results:
        product = results.table("figures/items_by_asin", most=10).set_index("asin").loc["TWICE"]
    assert (product["bins"], product["items_on_record"]) == (1, 5)


def test_part_is_matched_in_the_key_after_the_id(results):
    table = results.table("figures/discrepancies_by_part", pattern=r"^i/([12])", part=1, most=10, capacity=40)
    assert set(table["part"].dropna()) == {"1", "2"}
    assert table["bins"].sum() == 300


def test_results_of_an_invalid_file_raise(tmp_path):
    path = tmp_path / "reconciled.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(ReconcileError, match=r"reconciled\.parquet cannot be read"):
        Results(path, LABELS, tmp_path)
