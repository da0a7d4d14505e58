"""summary.json: what is written and what is read again."""

import json
from dataclasses import fields

import pytest

from reconcile.output.summary import KEYS, RunCounts, Summary
from reconcile.resources import query
from tests.unit.output.summaries import summary_of


def test_keys_are_the_fields_of_the_summary():
    names = [entry.name for entry in fields(Summary) if entry.name != "counts"]
    assert sorted(KEYS) == sorted(names + [entry.name for entry in fields(RunCounts)])
    assert list(summary_of().as_dict()) == list(KEYS)


def test_run_counts_are_the_columns_of_the_query():
    text = query("figures/run_counts").partition("SELECT")[2]
    assert sorted(entry.name for entry in fields(RunCounts)) == sorted(
        line.strip().rstrip(",").rpartition(" AS ")[2] for line in text.splitlines() if " AS " in line
    )


def test_summary_survives_json():
    summary = summary_of(match=8, over=2)
    summary.capacity, summary.mix, summary.counts = 7, [0.2, 0.8], RunCounts(bins=10, agreeing=4)
    values = json.loads(json.dumps(summary.as_dict() | {"of a later version": 1}))
    assert (values["bins"], values["agreeing"]) == (10, 4)
    assert Summary.from_dict(values) == summary


@pytest.mark.parametrize("key", ["capacity", "queued"])
def test_summary_without_a_key_is_of_another_version(key):
    values = summary_of().as_dict()
    del values[key]
    with pytest.raises(TypeError, match=key):
        Summary.from_dict(values)
