"""Import of files with invalid lines: the command reports these lines and imports all others."""

from pathlib import Path

import pandas as pd
import pytest

from tests.integration.verdicts.verdict_helpers import fill_in_counts, import_file, run_verdicts


def test_invalid_lines_are_reported_and_all_others_are_imported(finished_run, tmp_path):
    (tmp_path / "mixed.csv").write_text(
        "bin_id,run_id,true_count,note\n"
        "00003,n1,1,\n"
        "00004,n1,many,\n"
        "00001,n1,,not my aisle\n"
        "nowhere,n1,2,\n"
        "00002,n9,3,\n"
        "00002,../../etc,3,\n"
        "00004,n1,2,\n"
    )
    done = run_verdicts("import", "mixed.csv")
    assert done.returncode == 1
    assert done.stdout.strip() == "2 verdicts imported, 0 already known, 4 lines invalid"
    out = tmp_path / "out"
    assert done.stderr.splitlines() == [
        "reconcile: mixed.csv: line 3: true_count of bin '00004' is not a number: 'many'",
        "reconcile: mixed.csv: line 5: the run in run_id did not compare bin 'nowhere'",
        f"reconcile: mixed.csv: line 6: there is no finished run 'n9' in {out}; check --out",
        f"reconcile: mixed.csv: line 7: there is no finished run '../../etc' in {out}; check --out",
    ]
    assert len(run_verdicts("list").stdout.splitlines()) == 3


def test_lines_with_the_same_reason_share_a_message(finished_run, tmp_path):
    of_unknown_run = [f"{number},elsewhere,1\n" for number in range(40)]
    unreadable = [f"{number},n1,?\n" for number in range(2)]
    alternating = "".join(f"nowhere,n1,1\n00003,n1,{count}\n" for count in range(12))
    (tmp_path / "v.csv").write_text("".join(["bin_id,run_id,true_count\n", *of_unknown_run, *unreadable, alternating]))
    done = run_verdicts("import", "v.csv")
    assert done.stdout.strip() == "12 verdicts imported, 0 already known, 54 lines invalid"
    messages = [line.removeprefix("reconcile: v.csv: ") for line in done.stderr.splitlines()]
    assert messages == [
        f"lines 2 to 41: there is no finished run 'elsewhere' in {tmp_path}/out; check --out",
        "line 42: true_count of bin '0' is not a number: '?'",
        "line 43: true_count of bin '1' is not a number: '?'",
        "lines 44, 46, 48, 50, 52, 54, 56, 58, 60, 62 and 2 more: the run in run_id did not compare bin 'nowhere'",
    ]


def test_import_reports_at_most_twenty_reasons(finished_run, tmp_path):
    lines = [f"{number},n1,1\n" for number in range(10, 40)]
    (tmp_path / "v.csv").write_text("".join(["bin_id,run_id,true_count\n", *lines, "10,n1,1\n", "39,n1,1\n"]))
    done = run_verdicts("import", "v.csv")
    assert done.stdout.strip() == "0 verdicts imported, 0 already known, 32 lines invalid"
    messages = done.stderr.splitlines()
    assert messages[0] == "reconcile: v.csv: lines 2, 32: the run in run_id did not compare bin '10'"
    assert messages[20:] == ["reconcile: v.csv: and 11 more lines for other reasons"]


def test_import_without_a_valid_line_fails(finished_run, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n")
    done = run_verdicts("import", "v.csv")
    assert (done.returncode, done.stdout) == (1, "0 verdicts imported, 0 already known, 1 line invalid\n")
    assert "line 2: there is no finished run 'n2'" in done.stderr
    assert not (tmp_path / "out/verdicts").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("bin_id,count\n1,2\n", "has no column run_id and no column true_count"),
        ("", "is empty"),
        (None, "No such file"),
    ],
)
def test_file_without_verdicts_is_a_usage_error(tmp_path, content, message):
    (tmp_path / "out").mkdir()
    if content is not None:
        (tmp_path / "v.csv").write_text(content)
    done = run_verdicts("import", "v.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("reconcile: v.csv ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_import_of_an_unfilled_list_succeeds_without_verdicts(finished_run):
    summary = import_file("out/runs/n1/recount.csv")
    assert summary.startswith("0 verdicts imported, 0 already known, 0 lines invalid")
    assert summary.endswith("no line has a true_count")
    assert run_verdicts("list").stdout == "no verdicts yet\n"


def test_line_of_a_run_with_broken_files_is_invalid(finished_run, tmp_path):
    fill_in_counts("n1", {"00003": 1})
    (tmp_path / "out/runs/n1/reconciled.parquet").write_bytes(b"PAR1")
    done = run_verdicts("import", "filled.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("reconcile: filled.csv: line 2: run n1 cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_line_of_a_run_of_another_version_is_invalid(run_again):
    run_again("n2")
    old_rows = pd.read_parquet("out/runs/n2/reconciled.parquet").drop(columns="image_etag")
    old_rows.to_parquet("out/runs/n2/reconciled.parquet")
    Path("v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n00003,n1,1\n")
    done = run_verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stdout.startswith("1 verdict imported, 0 already known, 1 line invalid")
    assert "line 2: run n2 cannot be read, or another version of reconcile wrote it" in done.stderr


def test_line_with_the_photo_of_another_bin_is_invalid(finished_run, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count,image_key\n00003,n1,1,bin-images/00004.jpg\n")
    done = run_verdicts("import", "v.csv")
    assert done.returncode == 1
    assert "line 2: image_key is a photo of bin '00004', not of '00003'" in done.stderr


def test_photo_identifies_bins_whose_id_a_spreadsheet_changed(finished_run):
    lines = ["00009,n1,bin-images/00003.jpg,1", "3.0E+00,n1,bin-images/00003.jpg,1", "03-Jan,n1,bin-images/00004.jpg,2"]
    Path("v.csv").write_text("bin_id,run_id,image_key,true_count\n" + "\n".join(lines) + "\n")
    done = run_verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 2: image_key is a photo of bin '00003', not of '00009'\n"
    assert done.stdout.startswith("2 verdicts imported"), "the photo identifies a bin whose id became a number or date"


def test_missing_output_folder_is_reported_and_not_created(tmp_path):
    for arguments in (["list"], ["export", "v.csv"]):
        done = run_verdicts(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "there is no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
