"""The tables in docs/explanation/scaling.md are those that benchmarks/scaling.py makes."""

import pytest

from benchmarks import scaling
from benchmarks.scaling_figures import FIGURES


def test_the_page_has_the_tables_of_the_calculator():
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.with_tables(page) == page, "run: python -m benchmarks.scaling"


def test_an_engine_as_fast_as_run_costs_the_same(monkeypatch):
    monkeypatch.setitem(FIGURES, "ray", FIGURES["ray"]._replace(value=81))
    local, ray = (next(line for line in scaling.machines() if name in line) for name in ("EC2 c7i", "Ray on c7i"))
    assert local.split("|")[2:] == ray.split("|")[2:]


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="not one place for the table"):
        scaling.with_tables("# Scaling\n")
