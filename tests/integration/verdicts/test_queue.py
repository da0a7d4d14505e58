"""Length and order of the recount queue."""

from pathlib import Path

import pytest

from tests.conftest import last_line, reconcile
from tests.integration.verdicts.verdict_helpers import BINS, queued_bins, read_recount_list


def test_capacity_limits_the_bins_in_the_recount_list(run_again):
    rows, summary = run_again("more", "--capacity", 3)
    lines = read_recount_list("more")
    assert [line["bin_id"] for line in lines] == queued_bins(rows)[:3]
    assert [line["recount_rank"] for line in lines] == ["1", "2", "3"]
    assert summary["capacity"] == 3
    assert len(queued_bins(rows)) == len(BINS)
    assert summary["expected_wrong_in_queue"]["value"] == pytest.approx(
        rows.loc[queued_bins(rows)[:3], "p_wrong"].sum(), abs=1e-3
    )


def test_rank_by_value_orders_the_queue_by_value_off(run_again, tmp_path):
    (tmp_path / "costs.csv").write_text("asin,unit_cost\nB0TEST,2.5\nB0OTHER,free\n")
    rows, summary = run_again("more", "--rank-by", "value", "--costs", "costs.csv")
    with_value = rows.dropna(subset="value_off")
    assert with_value["value_off"].to_numpy() == pytest.approx(2.5 * with_value["units_off"].to_numpy())
    assert queued_bins(rows)[: len(with_value)] == with_value.sort_values("value_off", ascending=False).index.tolist()
    assert queued_bins(rows)[-1] == "00006"  # the record has no items, so no item has a cost
    assert summary["rank_by"] == "value"
    assert read_recount_list("more")[0]["value_off"] != ""


def test_rank_by_value_without_costs_is_a_usage_error(warehouse, grey_model):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--rank-by", "value")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert last_line(done.stderr) == "reconcile: --rank-by value needs --costs FILE with the columns asin and unit_cost"
    assert not Path("out").exists()


def test_costs_without_the_needed_columns_are_a_usage_error(warehouse, grey_model, tmp_path):
    (tmp_path / "costs.csv").write_text("sku,price\n1,2\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--costs", "costs.csv")
    assert done.returncode == 2
    message = "--costs costs.csv has no column asin and no column unit_cost (its columns: sku, price)"
    assert last_line(done.stderr) == f"reconcile: {message}"
