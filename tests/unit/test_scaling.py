"""The tables in docs/SCALING.md are those that benchmarks/scaling.py makes."""

import pytest

from benchmarks import scaling
from benchmarks.scaling_figures import FIGURES, Figure


def test_the_page_has_the_tables_of_the_calculator():
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling.with_tables(page) == page, "run: python -m benchmarks.scaling"


def test_a_figure_that_is_there_replaces_the_gaps(monkeypatch):
    for name, figure in FIGURES.items():
        if figure.value is None:
            monkeypatch.setitem(FIGURES, name, Figure(81, figure.what, figure.source))
    text = "\n".join(line for lines in scaling.TABLES.values() for line in lines())
    assert scaling.NOT_YET not in text
    local, ray = (next(line for line in scaling.machines() if name in line) for name in ("EC2 c7i", "Ray on c7i"))
    assert local.split("|")[2:] == ray.split("|")[2:]  # as fast as `run`, for the same price


def test_a_page_without_a_place_for_a_table_is_refused():
    with pytest.raises(ValueError, match="not one place for the table"):
        scaling.with_tables("# Scaling\n")
