"""Verdict files that pass through a spreadsheet: changed ids, other encodings, and text that looks like a formula."""

import csv
from pathlib import Path

from tests.conftest import reconcile, write_bucket
from tests.integration.verdicts.verdict_helpers import (
    fill_in_counts,
    import_file,
    read_recount_list,
    read_results,
    run_bucket,
    run_verdicts,
)


def test_photo_identifies_bins_after_excel_removed_leading_zeros(run_again, tmp_path):
    lines = read_recount_list("n1")
    counts = {"00003": 1, "00007": 4, "7": 5}
    rows = [
        [line["bin_id"].lstrip("0"), line["run_id"], line["image_key"], counts.get(line["bin_id"], ""), "Lücke"]
        for line in lines
    ]
    table = [["bin_id", "run_id", "image_key", "true_count", "note"], *rows]
    text = "\r\n".join(";".join(map(str, row)) for row in table)
    (tmp_path / "excel.csv").write_bytes(text.encode("cp1252"))
    assert import_file("excel.csv") == "3 verdicts imported, 0 already known, 0 lines invalid"
    next_rows, _ = run_again("n2")
    assert next_rows["recounted_count"].dropna().to_dict() == counts


def test_ambiguous_bin_id_without_a_photo_is_invalid(run_again, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n3,n1,1\n7,n1,5\n007,n1,4\n")
    done = run_verdicts("import", "v.csv")
    assert done.returncode == 1
    assert done.stderr == "reconcile: v.csv: line 4: bin '007' may be any of 00007, 7\n"
    next_rows, _ = run_again("n2")
    assert next_rows["recounted_count"].dropna().to_dict() == {"00003": 1, "7": 5}


def test_exported_verdicts_are_safe_in_spreadsheets_and_import_again(finished_run, tmp_path):
    import_file(fill_in_counts("n1", {"00003": 1, "00004": 2}, notes={"00003": "=1+1", "00004": "a;\n+2"}))
    done = run_verdicts("export", "verdicts.csv")
    assert (done.returncode, done.stdout) == (0, "2 verdicts written to verdicts.csv\n")
    with Path("verdicts.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = {line["bin_id"]: line for line in csv.DictReader(file)}
    assert (lines["00003"]["true_count"], lines["00003"]["found"], lines["00004"]["found"]) == ("1", "short", "correct")
    assert (lines["00003"]["note"], lines["00004"]["note"]) == ("'=1+1", "a;\n'+2")
    assert import_file("verdicts.csv") == "0 verdicts imported, 2 already known, 0 lines invalid"
    assert run_verdicts("export", "/proc/nowhere/v.csv").returncode == 1


def test_bin_ids_like_formulas_are_restored_by_import(grey_model, tmp_path):
    hostile = ["=1+1", "+1", "-1", "@x", "\t=1", "a;=1", "'=1", "'x"]
    bucket = write_bucket(tmp_path / "hostile", dict.fromkeys(hostile, (1, 4)))
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "out"]
    assert reconcile(*arguments, "--run-id", "n1").returncode == 0
    lines = read_recount_list("n1")
    assert len(lines) == len(hostile)
    assert not [cell for line in lines for cell in line.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    fill_in_counts("n1", {line["bin_id"]: 1 for line in lines})
    done = run_verdicts("import", "filled.csv")
    assert done.returncode == 0, done.stderr
    assert reconcile(*arguments, "--run-id", "n2").returncode == 0
    assert read_results("out", "n2")[0]["recounted_count"].dropna().to_dict() == dict.fromkeys(hostile, 1)


def test_bin_id_with_accents_survives_excel(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {"café": (1, 4)})
    run_bucket(bucket, grey_model, "out", "n1")
    content = Path("out/runs/n1/recount.csv").read_bytes()
    assert content.startswith("\ufeff".encode()), "Excel recognises UTF-8 by this mark"
    # Excel saves the file in the encoding of the country.
    fill_in_counts("n1", {"café": 4})
    Path("filled.csv").write_bytes(Path("filled.csv").read_text(encoding="utf-8").encode("cp1252"))
    assert import_file("filled.csv").startswith("1 verdict imported")
