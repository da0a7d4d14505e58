"""The exit code of a run with problems, and the last line of its log, which gives the reason."""

from pathlib import Path

import pytest

from tests.conftest import last_line, reconcile, write_bucket
from tests.integration.runs.small_warehouse import results


def test_unreadable_photos_and_alarm_have_their_own_exit_codes(warehouse, grey_model, tmp_path):
    arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", "out"]
    alarmed = reconcile(*arguments, "--alarm", "30%", "--run-id", "a")
    assert (alarmed.returncode, last_line(alarmed.stderr)) == (
        4, "reconcile: the run is complete, but at least 2 of 6 compared records are probably wrong (alarm: 30%)",
    )  # fmt: skip
    assert reconcile(*arguments, "--alarm", "40%", "--run-id", "b").returncode == 0
    (warehouse / "bin-images" / "00001.jpg").write_bytes(b"")
    unreadable = reconcile(*arguments, "--alarm", "1%", "--run-id", "c")
    assert "the alarm is set to 1% of wrong records\n" in unreadable.stderr
    assert (unreadable.returncode, last_line(unreadable.stderr)) == (
        3,
        "reconcile: the run is complete, but 1 of 7 photos are unreadable (limit: 5%); most frequent reason: the "
        "object is empty (0 bytes), for example bin-images/00001.jpg; at least 2 of 5 compared records are probably "
        "wrong (alarm: 1%)",
    )
    assert reconcile(*arguments, "--max-unreadable", "20%", "--run-id", "d").returncode == 0


def test_run_without_matching_ids_fails(warehouse, grey_model, tmp_path):
    (tmp_path / "excel.csv").write_text("bin_id,expected_quantity\n2,2\n3,3\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "excel.csv")
    assert done.returncode == 1
    reason = "no photo and record have the same bin id (photos such as 00001, records such as 2)"
    assert last_line(done.stderr) == f"reconcile: the run is complete, but nothing could be compared: {reason}"
    [report] = (tmp_path / "out").rglob("report.html")
    assert "We could not compare anything" in report.read_text()


def test_table_with_a_row_per_product_ends_before_counting(warehouse, grey_model):
    Path("stock.csv").write_text("bin_id,expected_quantity,asin\n00001,2,A\n00002,1,A\n00002,2,B\n00003,4,A\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert (done.returncode, last_line(done.stderr)) == (
        2,
        "reconcile: --records stock.csv has several rows for 1 bin, such as rows 3 and 4 for bin '00002'; "
        "--records-aggregate sum adds up the rows of a bin, and --records-aggregate same accepts rows that agree",
    )
    assert "counted" not in done.stderr


def test_exit_reason_lists_every_cause(grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w", {f"P{n}": (1, None) for n in range(3)})
    (bucket / "bin-images" / "P0.jpg").write_bytes(b"")
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "out", "--records", "stock.csv"]
    for rows, causes in (
        ("P0,N/A", "no readable photo has a record that can be compared with it; 1 of 1 bins on record have invalid "
         "records"),
        ("X1,N/A\nX2,1", "no photo and record have the same bin id (photos such as P1, records such as X2); 1 of 2 "
         "bins on record have invalid records; most frequent reason: the expected quantity is not a number: N/A, for "
         "example stock.csv row 2"),
    ):  # fmt: skip
        Path("stock.csv").write_text(f"bin_id,expected_quantity\n{rows}\n")
        done = reconcile(*arguments, "--max-unreadable", "90%")
        reason = f"the run is complete, but nothing could be compared: {causes}"
        assert (done.returncode, last_line(done.stderr)) == (1, f"reconcile: {reason}")
    Path("stock.csv").write_text(f"bin_id,expected_quantity\nP1,{'x' * 5000}\nP2,1\n")
    done = reconcile(*arguments, "--max-unreadable", "90%")
    assert done.returncode == 3
    assert len(last_line(done.stderr)) < 600


def test_invalid_rows_of_a_table_are_logged(warehouse, grey_model, tmp_path):
    (tmp_path / "stock.csv").write_text("bin_id,expected_quantity\n00001,2\n00002,many\n,4\n00003,1\n")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert done.returncode == 3
    invalid = "reconcile: the run is complete, but 2 of 4 bins on record have invalid records (limit: 5%)"
    example = "most frequent reason: the bin id is missing, for example stock.csv row 4"
    assert last_line(done.stderr) == f"{invalid}; {example}"
    summary, _ = results(tmp_path / "out")
    assert (summary["records"], summary["invalid_records"]) == (4, 2)
    assert "warning: stock.csv row 3: the expected quantity is not a number: many\n" in done.stderr
    assert "warning: stock.csv row 4: the bin id is missing\n" in done.stderr
    assert "4 rows read from stock.csv, 2 are invalid\n" in done.stderr
    allowed = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv",
                        "--max-invalid", "50%")  # fmt: skip
    assert allowed.returncode == 0, allowed.stderr
    limited = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "few", "--records", "stock.csv",
                        "--limit", 1)  # fmt: skip
    assert "1 rows read from stock.csv, 0 are invalid\n" in limited.stderr, "rows of other bins are left out"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("", "--records stock.csv is empty"),
        (
            "bin_id,expected_quantity\n",
            "the run is complete, but nothing could be compared: there are no records (photos such as 00001 have no "
            "record)",
        ),
        (
            "bin_id,expected_quantity\n00001,N/A\n00002,N/A\n00003,\n00004,N/A\n",
            "the run is complete, but nothing could be compared: no readable photo has a record that can be compared "
            "with it; 4 of 4 bins on record have invalid records; most frequent reason: the expected quantity is not a "
            "number: N/A, for example stock.csv row 2",
        ),
    ],
    ids=["nothing", "no rows", "no quantities"],
)
def test_empty_or_broken_table_fails_the_run(warehouse, grey_model, tmp_path, rows, reason):
    (tmp_path / "stock.csv").write_text(rows)
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert done.returncode == 1
    assert f"reconcile: {reason}" in done.stderr.splitlines()[-1]
    doctor = reconcile("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--records", "stock.csv")
    assert doctor.returncode == 1
    if "N/A" in rows:
        assert "FAIL  records    stock.csv has 4 rows, but none is a valid record: the expected" in doctor.stdout


def test_run_without_readable_json_record_fails(warehouse, grey_model):
    for record in (warehouse / "metadata").iterdir():
        record.write_text("{")
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert done.returncode == 1
    assert (
        "no readable photo has a record that can be compared with it; 7 of 7 bins on record have invalid records; most "
        "frequent reason: not JSON" in done.stderr.splitlines()[-1]
    )
    doctor = reconcile("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert "but it is not a valid record: not JSON (line 1)" in doctor.stdout


def test_limited_run_without_records_fails_in_one_line(warehouse, grey_model):
    arguments = ["--bucket", warehouse, "--model", grey_model, "--out", "out", "--records-prefix", "erp/"]
    done = reconcile("run", *arguments, "--limit", 3)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "no photo and record have the same bin id (photos such as 00001 have no record)" in last
