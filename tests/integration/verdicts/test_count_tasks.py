"""Count tasks for a warehouse management system: --recount-format, and the answers in the inbox."""

import json
from pathlib import Path

import pytest

from tests.conftest import reconcile
from tests.integration.verdicts.test_inbox import drop
from tests.integration.verdicts.verdict_helpers import read_recount_list


def read_tasks(run_id) -> list[dict]:
    text = Path("out/runs", run_id, "recount.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_answered_count_tasks_in_the_inbox_are_verdicts(run_again):
    run_again("n2", "--recount-format", "both", "--where", r"(?P<aisle>\d{2})", "--capacity", "3")
    tasks, lines = read_tasks("n2"), read_recount_list("n2")
    assert [task["bin_id"] for task in tasks] == [line["bin_id"] for line in lines]
    assert {line["bin_id"]: line["location_aisle"] for line in lines} == {
        task["bin_id"]: task["location"]["aisle"] or "" for task in tasks
    }
    answers = [task | {"true_count": 2, "counted_by": "AGV 3"} for task in tasks]
    drop("answers.jsonl", "".join(json.dumps(task) + "\n" for task in answers))
    rows, summary = run_again("n3")
    assert summary["inbox"][0]["imported"] == 3
    assert rows["recounted_count"].dropna().to_dict() == {task["bin_id"]: 2 for task in tasks}


def test_run_writes_only_the_format_that_was_asked_for(run_again):
    run_again("n2", "--recount-format", "jsonl")
    names = {path.name for path in Path("out/runs/n2").iterdir()}
    assert names == {"summary.json", "reconciled.parquet", "recount.jsonl", "report.html"}


@pytest.mark.parametrize("value", ["xml", "csv,jsonl"])
def test_unknown_recount_format_is_a_usage_error(value):
    done = reconcile("run", "--bucket", "./w", "--out", "out", "--recount-format", value)
    assert done.returncode == 2
    assert "--recount-format" in done.stderr
