"""How long the queue is, and what is first in it."""

from pathlib import Path

import pytest

from tests.conftest import last_line, reconcile
from tests.integration.verdicts.warehouse import BINS, queue, recount_list


def test_the_capacity_is_how_many_bins_are_listed(night):
    rows, summary = night("more", "--capacity", 3)
    lines = recount_list("more")
    assert [line["bin_id"] for line in lines] == queue(rows)[:3]
    assert [line["recount_rank"] for line in lines] == ["1", "2", "3"]
    assert summary["capacity"] == 3
    assert len(queue(rows)) == len(BINS)
    assert summary["expected_wrong_in_queue"]["value"] == pytest.approx(
        rows.loc[queue(rows)[:3], "p_wrong"].sum(), abs=1e-3
    )


def test_the_value_of_what_is_missing_can_rank_the_queue(night, tmp_path):
    (tmp_path / "costs.csv").write_text("asin,unit_cost\nB0TEST,2.5\nB0OTHER,free\n")
    rows, summary = night("more", "--rank-by", "value", "--costs", "costs.csv")
    valued = rows.dropna(subset="value_off")
    assert valued["value_off"].to_numpy() == pytest.approx(2.5 * valued["units_off"].to_numpy())
    assert queue(rows)[: len(valued)] == valued.sort_values("value_off", ascending=False).index.tolist()
    assert queue(rows)[-1] == "00006"  # nothing on record, so nothing that has a cost
    assert summary["rank_by"] == "value"
    assert recount_list("more")[0]["value_off"] != ""


def test_ranking_by_value_without_costs_is_wrong_usage(warehouse, grey_model):
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--rank-by", "value")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert last_line(done.stderr) == "reconcile: --rank-by value needs --costs FILE with the columns asin and unit_cost"
    assert not Path("out").exists()


def test_costs_of_no_use_are_told_in_one_line(warehouse, grey_model, tmp_path):
    (tmp_path / "costs.csv").write_text("sku,price\n1,2\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--costs", "costs.csv")
    assert done.returncode == 2
    said = "--costs costs.csv has no column asin and no column unit_cost; the first line must name the columns"
    assert last_line(done.stderr) == f"reconcile: {said}"
