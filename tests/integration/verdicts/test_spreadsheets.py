"""What Excel and its like make of lists and of names, and what may not be run by them."""

import csv
from pathlib import Path

from tests.conftest import reconcile, write_bucket
from tests.integration.verdicts.warehouse import fill_in, recount_list, results, run_night, taken, verdicts


def test_what_excel_makes_of_the_list_still_says_which_bin_is_meant(night, tmp_path):
    lines = recount_list("n1")
    found = {"00003": 1, "00007": 4, "7": 5}
    rows = [
        [line["bin_id"].lstrip("0"), line["run_id"], line["image_key"], found.get(line["bin_id"], ""), "Lücke"]
        for line in lines
    ]
    table = [["bin_id", "run_id", "image_key", "true_count", "note"], *rows]
    text = "\r\n".join(";".join(map(str, row)) for row in table)
    (tmp_path / "excel.csv").write_bytes(text.encode("cp1252"))
    assert taken("excel.csv") == "3 verdicts imported, 0 already known, 0 lines invalid"
    again, _ = night("n2")
    assert again["recounted_count"].dropna().to_dict() == found


def test_where_the_zeros_are_lost_and_no_photo_is_named_only_what_is_sure_is_taken(night, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n3,n1,1\n7,n1,5\n007,n1,4\n")
    done = verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 4: bin '007' may be any of 00007, 7\n"
    again, _ = night("n2")
    assert again["recounted_count"].dropna().to_dict() == {"00003": 1, "7": 5}


def test_what_is_exported_can_be_opened_in_a_spreadsheet_and_imported_again(night, tmp_path):
    taken(fill_in("n1", {"00003": 1, "00004": 2}, notes={"00003": "=1+1", "00004": "a;\n+2"}))
    done = verdicts("export", "verdicts.csv")
    assert (done.returncode, done.stdout) == (0, "2 verdicts written to verdicts.csv\n")
    with Path("verdicts.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = {line["bin_id"]: line for line in csv.DictReader(file)}
    assert (lines["00003"]["true_count"], lines["00003"]["found"], lines["00004"]["found"]) == ("1", "short", "right")
    assert (lines["00003"]["note"], lines["00004"]["note"]) == ("'=1+1", "a;\n'+2")
    assert taken("verdicts.csv") == "0 verdicts imported, 2 already known, 0 lines invalid"
    assert verdicts("export", "/proc/nowhere/v.csv").returncode == 1


def test_names_that_a_spreadsheet_would_run_come_back_as_they_were(grey_model, tmp_path):
    hostile = ["=1+1", "+1", "-1", "@x", "\t=1", "a;=1", "'=1", "'x"]
    bucket = write_bucket(tmp_path / "hostile", dict.fromkeys(hostile, (1, 4)))
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "out"]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    lines = recount_list("n1")
    assert len(lines) == len(hostile)
    assert not [cell for line in lines for cell in line.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    fill_in("n1", {line["bin_id"]: 1 for line in lines})
    done = verdicts("import", "filled.csv")
    assert done.returncode == 0, done.stderr
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    assert results("out", "n2")[0]["recounted_count"].dropna().to_dict() == dict.fromkeys(hostile, 1)


def test_excel_keeps_names_beyond_ascii(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"café": (1, 4)})
    run_night(bucket, grey_model, "out", "n1")
    content = Path("out/runs/n1/recount.csv").read_bytes()
    assert content.startswith("\ufeff".encode()), "by this mark Excel knows UTF-8"
    # As Excel saves it, in the encoding of the country.
    text = content.decode("utf-8-sig").replace(",,\r\n", ",4,\r\n").replace(",,\n", ",4,\n")
    Path("filled.csv").write_bytes(text.encode("cp1252"))
    assert taken("filled.csv").startswith("1 verdict taken")
