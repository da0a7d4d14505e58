"""Lines of verdicts in the inbox that a run rejects. They come back with their reasons."""

from pathlib import Path

import pytest

from tests.integration.verdicts.inbox_helpers import (
    HEADER,
    drop,
    files_in_inbox,
    import_now,
    read_csv,
    settle,
    verdicts,
)
from tests.integration.verdicts.verdict_helpers import run_verdicts


def test_rejected_lines_can_be_corrected_and_dropped_again(finished_run, tmp_path):
    drop("a.csv", "Bin ID;run_id;true_count;who;note\n00003;n1;x;Kim;\n1;2\n00004;n1;2;Lee;a;b\n=1+1;n1;3;;\n")
    result = import_now(tmp_path)["a.csv"]
    assert (result.imported, result.rejected) == (0, 4)
    rejected = read_csv("out/inbox/rejected/a.csv")
    assert rejected == [
        ["rejected_because", "Bin ID", "run_id", "true_count", "who", "note"],
        ["true_count of bin '00003' is not a number: 'x'", "00003", "n1", "x", "Kim", ""],
        ["2 cells, the header has 5", "1", "2"],
        ["6 cells, the header has 5", "00004", "n1", "2", "Lee", "a", "b"],
        ["the run in run_id did not compare bin '=1+1'", "'=1+1", "n1", "3", "", ""],
    ]
    text = Path("out/inbox/rejected/a.csv").read_text(encoding="utf-8-sig")
    drop("a.csv", text.replace(",x,", ",1,").replace(",a,b", ",a"))
    result = import_now(tmp_path)["a.csv"]
    assert (result.imported, result.rejected) == (2, 2)
    assert verdicts(tmp_path) == {"00003": 1, "00004": 2}
    assert files_in_inbox() == {"imported/a.csv", "imported/a-2.csv", "rejected/a.csv", "rejected/a-2.csv"}
    assert read_csv("out/inbox/rejected/a-2.csv")[0] == rejected[0]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_rejected_lines_of_other_formats_come_back(finished_run, tmp_path, ending):
    import pandas as pd

    rows = pd.DataFrame({"bin_id": ["00003", "00004"], "run_id": ["n1", "n9"], "true_count": [1, 2]})
    path = drop(f"a.{ending}")
    rows.to_parquet(path) if ending == "parquet" else rows.to_json(path, orient="records", lines=True)
    settle(path)
    assert import_now(tmp_path)[f"a.{ending}"].imported == 1
    [header, line] = read_csv(f"out/inbox/rejected/a.{ending}.csv")
    assert header[:4] == ["rejected_because", "bin_id", "run_id", "true_count"]
    assert line[1:4] == ["00004", "n9", "2"]
    assert line[0].startswith("there is no finished run 'n9'")


def test_suspicious_count_is_rejected_with_the_command_that_imports_it(finished_run, tmp_path):
    drop("a.csv", f"{HEADER}\n00003,n1,400,\n")
    assert import_now(tmp_path)["a.csv"].rejected == 1
    [_, line] = read_csv("out/inbox/rejected/a.csv")
    assert "400, over 10 times the record of 4" in line[0]
    assert line[0].endswith("if the count is correct, import it with reconcile verdicts import --yes")
    assert run_verdicts("import", "out/inbox/rejected/a.csv", "--yes").stdout.startswith("1 verdict imported")
