"""Files of verdicts in <out>/inbox/, which each run imports first."""

import json
import os
import shutil
from pathlib import Path

import pytest

from reconcile.verdicts import inbox
from reconcile.verdicts.inbox import import_inbox, list_inbox
from tests.conftest import reconcile
from tests.integration.verdicts.inbox_helpers import (
    HEADER,
    drop,
    files_in_inbox,
    import_now,
    open_out,
    read_csv,
    settle,
    verdicts,
)
from tests.integration.verdicts.verdict_helpers import fill_in_counts, import_file, read_results
from tests.workbooks import write_workbook


def test_run_imports_csv_and_workbook_and_learns_from_them(run_again, tmp_path):
    fill_in_counts("n1", {"00003": 1, "00004": 2}, file="filled.csv")
    drop("aisle A.csv", Path("filled.csv").read_bytes())
    rows = [HEADER.split(","), [2, "n1", 3, "ok"], ["nowhere", "n1", 1, ""], [5, "n1", 29, ""]]
    write_workbook(drop("aisle B.xlsx"), {"Sheet1": rows})
    settle(Path("out/inbox/aisle B.xlsx"))
    drop("notes.docx", b"PK\x03\x04")
    rows, summary = run_again("n2")
    assert rows["recounted_count"].dropna().to_dict() == {"00003": 1, "00004": 2, "00002": 3, "00005": 29}
    assert summary["recounts"]["recounted"] == 4
    rejected = f"{tmp_path}/out/inbox/rejected/aisle B.xlsx.csv"
    a, b, other = summary["inbox"]
    assert a == {
        "file": "aisle A.csv",
        "imported": 2,
        "known": 0,
        "rejected": 0,
        "rejected_file": None,
        "problem": None,
    }
    assert (b["file"], b["imported"], b["rejected"], b["rejected_file"]) == ("aisle B.xlsx", 2, 1, rejected)
    assert other["file"] == "notes.docx"
    assert other["problem"].startswith("its type is unknown; save it as CSV or as a workbook")
    assert read_csv(rejected)[1] == ["the run in run_id did not compare bin 'nowhere'", "nowhere", "n1", "1", ""]
    report = Path("out/runs/n2/report.html").read_text()
    assert "aisle B.xlsx" in report
    assert f"correct the lines in {rejected}" in report
    assert files_in_inbox() == {
        "imported/aisle A.csv",
        "imported/aisle B.xlsx",
        "rejected/aisle B.xlsx.csv",
        "notes.docx",
    }
    assert run_again("n3")[1]["inbox"][0]["file"] == "notes.docx"


def test_log_and_terminal_name_each_file(finished_run, grey_model):
    drop("a.csv", f"{HEADER}\n00003,n1,1,\n00004,n1,many,\n")
    drop("b.csv", "bin,count\n1,2\n")
    arguments = ["run", "--bucket", finished_run, "--model", grey_model, "--out", "out", "--run-id", "n2"]
    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    log = done.stderr
    assert "inbox/a.csv: 1 verdict imported, 0 already known, 1 line rejected; see " in log
    assert "inbox/a.csv: line 3: true_count of bin '00004' is not a number: 'many'" in log
    assert "inbox/b.csv: the file was rejected: b.csv has no column bin_id and no column run_id" in log
    assert "Inbox " in done.stdout
    assert "2 files, 1 verdict imported, 1 line rejected, 1 file not imported" in done.stdout
    assert Path("out/inbox/rejected/b.csv").read_text() == "bin,count\n1,2\n"
    assert "has no column bin_id" in Path("out/inbox/rejected/b.csv.why.txt").read_text()


def test_run_imports_the_inbox_on_s3(first_run, s3, grey_model, tmp_path):
    bucket, out = first_run
    shutil.copytree(out, s3.root / "results" / "out")
    folder = s3.root / "results" / "out" / "inbox"
    folder.mkdir()
    (folder / "a.csv").write_text(f"{HEADER}\n00003,n1,1,\nnowhere,n1,1,=1+1\n")
    write_workbook(folder / "b.xlsx", {"Sheet1": [HEADER.split(","), ["00004", "n1", 2, ""]]})
    s3.refresh()
    arguments = ["run", "--bucket", bucket, "--model", grey_model, "--out", "s3://results/out", "--run-id", "n2"]
    done = reconcile(*arguments, "--endpoint-url", s3.endpoint_url)
    assert done.returncode == 0, done.stderr
    s3.refresh()
    rows, summary = read_results(s3.root / "results" / "out", "n2")
    assert rows["recounted_count"].dropna().to_dict() == {"00003": 1, "00004": 2}
    assert [(file["file"], file["imported"], file["rejected"]) for file in summary["inbox"]] == [
        ("a.csv", 1, 1),
        ("b.xlsx", 1, 0),
    ]
    assert summary["inbox"][0]["rejected_file"] == "s3://results/out/inbox/rejected/a.csv"
    assert files_in_inbox(s3.root / "results" / "out") == {"imported/a.csv", "imported/b.xlsx", "rejected/a.csv"}
    assert read_csv(folder / "rejected/a.csv")[1][1:] == ["nowhere", "n1", "1", "'=1+1"]


def test_same_file_twice_changes_nothing_even_after_a_correction(finished_run, tmp_path):
    content = f"{HEADER}\n00003,n1,1,first\n00003,n1,4,second\n00004,n1,2,\n"
    drop("a.csv", content)
    assert import_now(tmp_path)["a.csv"].imported == 3
    Path("correction.csv").write_text(f"{HEADER}\n00004,n1,5,\n")
    import_file("correction.csv")
    drop("renamed.csv", content)
    again = import_now(tmp_path)["renamed.csv"]
    assert (again.imported, again.known, again.rejected) == (0, 3, 0)
    assert verdicts(tmp_path) == {"00003": 4, "00004": 5}
    assert len(list(Path("out/verdicts").iterdir())) == 2


def test_killed_import_loses_and_doubles_no_line(first_run, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    content = f"{HEADER}\n00003,n1,1,\n00003,n1,4,\nnowhere,n1,1,\n00004,n1,2,\n"
    moments = 0
    for moment in range(20):
        shutil.rmtree("out", ignore_errors=True)
        shutil.copytree(first_run[1], "out")
        drop("a.csv", content)
        output, operations = open_out(), 0

        def dying(operation):
            def call(*arguments):
                nonlocal operations
                for _ in range(2):  # before and after the operation
                    if operations == moment:  # noqa: B023 – called in this round
                        raise Killed
                    operations += 1
                    if operations % 2:
                        result = operation(*arguments)
                return result

            return call

        for name in ("put", "delete"):
            monkeypatch.setattr(output.bucket, name, dying(getattr(output.bucket, name)))
        work = tmp_path / f"work{moment}"
        work.mkdir()
        try:
            import_inbox(output, work, lambda: None)
        except Killed:
            moments += 1
        import_now(tmp_path)
        rows = [row for path in Path("out/verdicts").iterdir() for row in read_part(path)]
        assert sorted(rows) == [("00003", 1, 2), ("00003", 4, 3), ("00004", 2, 5)], moment
        assert files_in_inbox() == {"imported/a.csv", "rejected/a.csv"}, moment
        assert len(read_csv("out/inbox/rejected/a.csv")) == 2
    assert moments == 8, "before and after each of four operations"


def read_part(path):
    import pyarrow.parquet as pq

    return [(row["bin_id"], row["true_count"], row["line"]) for row in pq.read_table(path).to_pylist()]


@pytest.mark.parametrize(
    "name",
    [
        "a.csv.tmp", "a.csv.part", "A.CSV.CRDOWNLOAD", "a.xlsx.filepart", "a.csv~", "~$book.xlsx", ".~lock.a.ods#",
        ".a.csv.Xy12", ".DS_Store", "._a.csv", "Thumbs.db", "desktop.ini", "__MACOSX/a.csv", ".Trash-1000/a.csv",
        "a.csv.1f2e3d4c.reconcile-partial",
    ],
)  # fmt: skip
def test_unfinished_files_and_files_of_systems_are_left_alone(finished_run, tmp_path, name):
    path = drop(name, f"{HEADER}\n00003,n1,1,\n")
    assert import_now(tmp_path) == {}
    assert path.exists()


def test_file_that_changes_meanwhile_waits_for_the_next_run(finished_run, tmp_path, monkeypatch):
    drop("old.csv", f"{HEADER}\n00004,n1,2,\n")
    path = drop("a.csv", f"{HEADER}\n00003,n1,1", age=0)

    def write_the_rest(seconds):
        assert 0 < seconds <= 5
        path.write_text(f"{HEADER}\n00003,n1,12,\n")

    monkeypatch.setattr(inbox.time, "sleep", write_the_rest)
    results = import_now(tmp_path)
    assert results["a.csv"].problem == "it is still being written, so the next run imports it"
    assert (results["old.csv"].imported, path.exists()) == (1, True)
    settle(path)
    assert import_now(tmp_path)["a.csv"].imported == 1
    assert verdicts(tmp_path) == {"00003": 12, "00004": 2}


def test_file_replaced_during_its_import_stays_for_the_next_run(finished_run, tmp_path, monkeypatch):
    path = drop("a.csv", f"{HEADER}\n00003,n1,1,\n")
    real = inbox.import_verdicts

    def import_and_replace(*arguments, **options):
        drop("a.csv", f"{HEADER}\n00004,n1,2,\n", age=60)
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "import_verdicts", import_and_replace)
        import_now(tmp_path)
    assert path.exists()
    import_now(tmp_path)
    assert verdicts(tmp_path) == {"00003": 1, "00004": 2}


def test_newest_file_counts(finished_run, tmp_path):
    drop("a.csv", f"{HEADER}\n00003,n1,1,\n", age=100)
    drop("b.csv", f"{HEADER}\n00003,n1,4,\n", age=200)
    import_now(tmp_path)
    assert verdicts(tmp_path) == {"00003": 1}


def test_files_that_cannot_be_read_cost_nothing_else(finished_run, tmp_path):
    Path("out/inbox").mkdir()
    Path("out/inbox/broken link.csv").symlink_to("nowhere")
    os.mkfifo("out/inbox/pipe.csv")
    drop("damaged.xlsx", b"PK\x03\x04 damaged")
    drop("empty.csv")
    drop("photo.csv", b"\xff\xd8\xff\xe0")
    drop("sub/good.csv", f"{HEADER}\n00003,n1,1,\n")
    for name in ("broken link.csv", "pipe.csv"):
        os.utime(f"out/inbox/{name}", (1, 1), follow_symlinks=False)
    results = import_now(tmp_path)
    assert results["sub/good.csv"].imported == 1
    assert results["broken link.csv"].problem == "the next run tries it again: the link is broken"
    assert "this is a pipe" in results["pipe.csv"].problem
    assert "photo.csv is an image" in results["photo.csv"].problem
    assert "empty.csv is empty" in results["empty.csv"].problem
    assert "damaged.xlsx cannot be read as a workbook" in results["damaged.xlsx"].problem
    assert {"rejected/damaged.xlsx", "rejected/empty.csv", "imported/sub/good.csv"} <= files_in_inbox()


def test_file_that_is_too_large_stays_in_the_inbox(finished_run, tmp_path, monkeypatch):
    monkeypatch.setattr(inbox, "_MOST_BYTES", 10)
    path = drop("a.csv", f"{HEADER}\n00003,n1,1,\n")
    assert "import it with reconcile verdicts import" in import_now(tmp_path)["a.csv"].problem
    assert path.exists()


def test_folder_without_write_access_keeps_the_file(finished_run, tmp_path):
    drop("a.csv", f"{HEADER}\n00003,n1,1,\n")
    Path("out/inbox/imported").write_text("a file where the folder belongs")
    result = import_now(tmp_path)["a.csv"]
    assert result.imported == 1
    assert result.problem.startswith("its verdicts are stored, but it stays in the inbox: ")
    Path("out/inbox/imported").unlink()
    assert import_now(tmp_path)["a.csv"].known == 1
    assert len(list(Path("out/verdicts").iterdir())) == 1


def test_person_and_reason_of_a_file_are_kept(finished_run, tmp_path):
    import pyarrow.parquet as pq

    drop("a.csv", "bin_id,run_id,true_count,counted_by,reason\n00003,n1,1,Kim,damaged\n")
    import_now(tmp_path)
    [part] = Path("out/verdicts").iterdir()
    [row] = pq.read_table(part).to_pylist()
    assert (row["counted_by"], row["reason"]) == ("Kim", "damaged")


def test_summary_of_an_older_version_has_an_empty_inbox(finished_run):
    path = Path("out/runs/n1/summary.json")
    summary = json.loads(path.read_text())
    del summary["inbox"]
    path.write_text(json.dumps(summary))
    done = reconcile("report", "n1", "--out", "out", "--no-photos")
    assert done.returncode == 0, done.stderr
    assert list_inbox(open_out()).tables == []
