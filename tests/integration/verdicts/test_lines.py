"""Lines and files that are no verdicts: each is told, and the rest is taken."""

from pathlib import Path

import pandas as pd
import pytest

from tests.integration.verdicts.warehouse import fill_in, taken, verdicts


def test_bad_lines_are_told_and_the_rest_is_taken(night, tmp_path):
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
    done = verdicts("import", "mixed.csv")
    assert done.returncode == 1
    assert done.stdout.strip() == "2 verdicts imported, 0 already known, 4 lines invalid"
    place = tmp_path / "out"
    assert done.stderr.splitlines() == [
        "reconcile: mixed.csv: line 3: true_count of bin '00004' is not a number: 'many'",
        "reconcile: mixed.csv: line 5: the run did not compare a bin 'nowhere'",
        f"reconcile: mixed.csv: line 6: there is no finished run 'n9' in {place}; check --out",
        f"reconcile: mixed.csv: line 7: there is no finished run '../../etc' in {place}; check --out",
    ]
    assert len(verdicts("list").stdout.splitlines()) == 3


def test_what_is_wrong_with_many_lines_is_said_once(night, tmp_path):
    of_another = [f"{number},elsewhere,1\n" for number in range(40)]
    unreadable = [f"{number},n1,?\n" for number in range(2)]
    scattered = "".join(f"nowhere,n1,1\n00003,n1,{count}\n" for count in range(12))
    (tmp_path / "v.csv").write_text("".join(["bin_id,run_id,true_count\n", *of_another, *unreadable, scattered]))
    done = verdicts("import", "v.csv")
    assert done.stdout.strip() == "12 verdicts imported, 0 already known, 54 lines invalid"
    told = [line.removeprefix("reconcile: v.csv: ") for line in done.stderr.splitlines()]
    assert told == [
        f"lines 2 to 41: there is no finished run 'elsewhere' in {tmp_path}/out; check --out",
        "line 42: true_count of bin '0' is not a number: '?'",
        "line 43: true_count of bin '1' is not a number: '?'",
        "lines 44, 46, 48, 50, 52, 54, 56, 58, 60, 62 and 2 more: the run did not compare a bin 'nowhere'",
    ]


def test_no_more_than_twenty_reasons_are_told(night, tmp_path):
    lines = [f"{number},n1,1\n" for number in range(10, 40)]
    (tmp_path / "v.csv").write_text("".join(["bin_id,run_id,true_count\n", *lines, "10,n1,1\n", "39,n1,1\n"]))
    done = verdicts("import", "v.csv")
    assert done.stdout.strip() == "0 verdicts imported, 0 already known, 32 lines invalid"
    told = done.stderr.splitlines()
    assert told[0] == "reconcile: v.csv: lines 2, 32: the run did not compare a bin '10'"
    assert told[20:] == ["reconcile: v.csv: and 11 more lines for other reasons"]


def test_not_one_good_line_is_a_failure(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n")
    done = verdicts("import", "v.csv")
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
def test_a_file_that_cannot_be_verdicts_is_wrong_usage(tmp_path, content, message):
    (tmp_path / "out").mkdir()
    if content is not None:
        (tmp_path / "v.csv").write_text(content)
    done = verdicts("import", "v.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("reconcile: v.csv ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unfilled_list_is_no_verdict_and_no_failure(night):
    said = taken("out/runs/n1/recount.csv")
    assert said.startswith("0 verdicts imported, 0 already known, 0 lines invalid")
    assert said.endswith("no line has a true_count")
    assert verdicts("list").stdout == "no verdicts yet\n"


def test_a_run_whose_files_are_broken_is_told_by_its_lines(night, tmp_path):
    fill_in("n1", {"00003": 1})
    (tmp_path / "out/runs/n1/reconciled.parquet").write_bytes(b"PAR1")
    done = verdicts("import", "filled.csv")
    assert done.returncode == 1
    assert done.stderr.startswith("reconcile: filled.csv: line 2: run n1 cannot be read")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_can_be_taken_of_a_run_of_another_version_but_of_the_others(night):
    night("n2")
    old = pd.read_parquet("out/runs/n2/reconciled.parquet").drop(columns="image_etag")
    old.to_parquet("out/runs/n2/reconciled.parquet")
    Path("v.csv").write_text("bin_id,run_id,true_count\n00003,n2,1\n00003,n1,1\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stdout.startswith("1 verdict imported, 0 already known, 1 line invalid")
    assert "line 2: run n2 cannot be read, or another version of reconcile wrote it" in done.stderr


def test_a_photo_of_one_bin_and_the_id_of_another_is_no_verdict_on_either(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count,image_key\n00003,n1,1,bin-images/00004.jpg\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert "line 2: image_key is a photo of bin '00004', not of '00003'" in done.stderr


def test_a_line_whose_id_and_photo_belong_to_different_bins_is_left_out(night):
    lines = ["00009,n1,bin-images/00003.jpg,1", "3.0E+00,n1,bin-images/00003.jpg,1", "03-Jan,n1,bin-images/00004.jpg,2"]
    Path("v.csv").write_text("bin_id,run_id,image_key,true_count\n" + "\n".join(lines) + "\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 2: image_key is a photo of bin '00003', not of '00009'\n"
    assert done.stdout.startswith("2 verdicts taken"), (
        "what a spreadsheet takes for a number or a date is known by its photo"
    )


def test_a_mistyped_out_is_said_and_no_folder_is_made(tmp_path):
    for arguments in (["list"], ["export", "v.csv"]):
        done = verdicts(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "there is no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []
