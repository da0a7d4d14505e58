"""Figures that SQL draws from the reconciled rows, against the same figures from numpy or by hand."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.errors import ReconcileError, UsageError
from reconcile.metrics.calibration import reliability, risk_coverage
from reconcile.pipeline.context import check_pattern
from reconcile.reconciliation.results import Results
from tests.conftest import LABELS


@pytest.fixture
def rows():
    """300 compared bins of two aisles, each with one of three products, and two that were not compared."""
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(7, 0.4), size=300).astype(np.float32)
    record = rng.integers(0, 7, size=300)
    counted = shares.argmax(axis=1)
    compared = pd.DataFrame(
        {
            "bin_id": [f"{'AB'[n % 2]}-{n:03d}" for n in range(300)],
            "image_key": [f"i/{n}.jpg" for n in range(300)],
            "status": np.where(counted < record, "short", np.where(counted > record, "over", "match")),
            "predicted_count": counted,
            "difference": counted - record,
            "expected_quantity": record,
            "probabilities": list(shares),
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
    place = table.schema.get_field_index("probabilities")
    lists = pa.array([None if value is None else list(value) for value in table["probabilities"].to_pylist()])
    table = table.set_column(place, "probabilities", lists.cast(pa.list_(pa.float32())))
    place = table.schema.get_field_index("recounted_count")
    pq.write_table(table.set_column(place, "recounted_count", table["recounted_count"].cast(pa.int64())), path)
    return path


def certainty(rows):
    compared = rows[rows["p_wrong"].notna()]
    largest = np.array([max(shares) for shares in compared["probabilities"]], dtype=np.float64)
    return largest, (compared["difference"] == 0).to_numpy(dtype=bool)


def test_coverage_is_that_of_an_evaluation(results, rows):
    table = results.table("figures/coverage")
    expected = risk_coverage(*certainty(rows))
    assert table["percent"].tolist() == [round(100 * point.share) for point in expected]
    assert table["photos"].tolist() == [point.photos for point in expected]
    assert (table["agreeing"] / table["photos"]).tolist() == pytest.approx([point.accuracy.value for point in expected])
    assert table["least_probability"].tolist() == pytest.approx([point.least_probability for point in expected])


def test_reliability_is_that_of_an_evaluation(results, rows):
    table = results.table("figures/reliability").set_index("bin_index")
    expected = {place: found for place, found in enumerate(reliability(*certainty(rows))) if found.photos}
    assert table.index.tolist() == list(expected)
    for place, found in expected.items():
        assert table.loc[place, "photos"] == found.photos
        assert table.loc[place, "probability"] == pytest.approx(found.probability)
        assert table.loc[place, "agreeing"] / found.photos == pytest.approx(found.accuracy.value)


@pytest.mark.parametrize("bins", [1, 2, 7, 99])
def test_coverage_of_few_bins_names_every_percent(rows, bins, tmp_path):
    few = rows.head(bins)[["bin_id", "image_key", "status", "difference"]].assign(status="match")
    path = tmp_path / "few.parquet"
    shares = pa.array([[0.5, 0.5]] * bins, pa.list_(pa.float32()))
    pq.write_table(pa.Table.from_pandas(few, preserve_index=False).append_column("probabilities", shares), path)
    with Results(path, LABELS, tmp_path) as results:
        table = results.table("figures/coverage")
    assert table["percent"].tolist() == list(range(1, 101))
    assert table["photos"].tolist() == [-(-percent * bins // 100) for percent in range(1, 101)]


def test_products_and_aisles_with_more_wrong_records_than_their_share_come_first(results, rows):
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


def test_what_was_recounted_is_no_longer_expected_but_known(rows, tmp_path):
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


def test_a_product_named_twice_by_a_record_is_one_with_all_its_items(rows, tmp_path):
    rows.at[0, "items"] = [{"asin": "TWICE", "name": "t", "quantity": 2}, {"asin": "TWICE", "name": "t", "quantity": 3}]
    with Results(write(rows, tmp_path / "twice.parquet"), LABELS, tmp_path) as results:
        product = results.table("figures/items_by_asin", most=10).set_index("asin").loc["TWICE"]
    assert (product["bins"], product["items_on_record"]) == (1, 5)


def test_a_part_is_looked_for_in_the_id_and_else_in_the_key(results):
    table = results.table("figures/discrepancies_by_part", pattern=r"^i/([12])", part=1, most=10, capacity=40)
    assert set(table["part"].dropna()) == {"1", "2"}
    assert table["bins"].sum() == 300


def test_no_results_in_a_file_that_is_none(tmp_path):
    path = tmp_path / "reconciled.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(ReconcileError, match=r"reconciled\.parquet cannot be read"):
        Results(path, LABELS, tmp_path)


def test_a_pattern_that_duckdb_does_not_know_is_refused():
    check_pattern(r"(?P<aisle>[A-Z]+)-(?P<pod>\d+)")
    many = "".join(f"(?P<g{n}>.)" for n in range(12))
    for pattern in (r"(?P<a>x(?=y))", many):
        with pytest.raises(UsageError, match="--where"):
            check_pattern(pattern)
