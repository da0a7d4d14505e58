"""The tables of docs/explanation/scaling.md, which benchmarks/scaling.py computes."""

import pytest

from benchmarks import scaling
from benchmarks.scaling_figures import FIGURES


def test_page_has_the_computed_tables():
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.with_tables(page) == page, "run: python -m benchmarks.scaling"


def test_engine_as_fast_as_run_costs_the_same(monkeypatch):
    monkeypatch.setitem(FIGURES, "ray", FIGURES["ray"]._replace(value=81))
    local, ray = (next(line for line in scaling.machines() if name in line) for name in ("EC2 c7i", "Ray on c7i"))
    assert local.split("|")[2:] == ray.split("|")[2:]


def test_page_without_marks_raises_an_error():
    with pytest.raises(ValueError, match="exactly one pair of marks for the table"):
        scaling.with_tables("# Scaling\n")
