"""The command `reconcile report`, which renders the report of a finished run again."""

import json
import re
import shutil

import pytest

from tests.browser.reports import make_report
from tests.conftest import grey_photo, reconcile, reconcile_from_scratch, write_bucket


def test_rendering_again_gives_the_same_report(hostile_warehouse, grey_model, tmp_path):
    # Both in a new process, because the charts are numbered within a process.
    arguments = ["--bucket", hostile_warehouse, "--model", grey_model, "--run-id", "once", "--max-unreadable", "1"]
    done = reconcile_from_scratch("run", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "runs" / "once" / "report.html"
    before = path.read_text()
    path.unlink()
    done = reconcile_from_scratch("report", "once", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    assert re.sub(r", report [\d.]+ s", "", path.read_text()) == before, "except for the time of rendering"

    for location in (path, path.parent, f"{path.parent}/", path.parent.relative_to(tmp_path)):
        path.unlink()
        rendered = reconcile("report", location, cwd=tmp_path)
        assert (rendered.returncode, rendered.stdout.strip()) == (0, str(path)), rendered.stderr

    (tmp_path / "out").rename(tmp_path / "moved")
    assert reconcile("report", tmp_path / "moved/runs/once").returncode == 0
    assert f"verdicts-once.csv --out {tmp_path}/moved</code>" in (tmp_path / "moved/runs/once/report.html").read_text()
    (tmp_path / "moved").rename(tmp_path / "out")
    unknown = reconcile("report", tmp_path / "out/runs/once/notes.txt")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "notes.txt is neither a run id nor a path such as OUT/runs/ID" in unknown.stderr

    conflicting = reconcile("report", path, "--out", tmp_path / "other")
    assert conflicting.returncode == 2
    assert f"RUN is a path in {tmp_path}/out; omit --out" in conflicting.stderr

    missing = reconcile("report", "never", "--out", tmp_path / "out")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "no finished run never" in missing.stderr


def test_rendering_shows_only_photos_unchanged_since_the_run(open_page, grey_model, tmp_path, monkeypatch):
    folder = write_bucket(tmp_path / "w", {"a": (1, 5), "b": (2, 4)})
    path = make_report(folder, grey_model, tmp_path / "out", "once")
    other = write_bucket(tmp_path / "other", {"a": (6, 6), "b": (6, 6)})
    monkeypatch.setenv("RECONCILE_BUCKET", str(other))
    (folder / "bin-images" / "a.jpg").write_bytes(grey_photo(6, (70, 50)))
    assert reconcile("report", "once", "--out", tmp_path / "out").returncode == 0
    page = open_page(path)
    assert page.locator("#queue-table tbody tr", has_text="photo not available").locator(
        ".bin-id"
    ).all_inner_texts() == ["a"]
    assert page.locator(".enlarge").count() == 1

    before = path.read_bytes()
    (folder / "bin-images" / "b.jpg").unlink()
    failed = reconcile("report", "once", "--out", tmp_path / "out")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert f"none of the 2 photos can be read from {folder}; name their present location with --bucket" in failed.stderr
    assert path.read_bytes() == before, "the earlier report with photos is kept"
    shutil.rmtree(folder)
    failed = reconcile("report", "once", "--out", tmp_path / "out")
    advice = "name their present location with --bucket"
    assert f"the folder {folder} with the photos of the run does not exist; {advice}" in failed.stderr
    assert reconcile("report", "once", "--out", tmp_path / "out", "--no-photos").returncode == 0
    assert open_page(path).locator(".no-photo").count() == 2


def test_report_on_s3_is_rendered_again(s3, grey_model):
    write_bucket(s3.root / "w", {"a": (1, 5), "b": (2, 4)})
    (s3.root / "results").mkdir()
    out_arguments = ["--out", "s3://results/reconcile", "--endpoint-url", s3.endpoint_url]
    done = reconcile("run", "--bucket", "w", "--model", grey_model, "--run-id", "once", *out_arguments)
    assert done.returncode == 0, done.stderr
    for location in (["once", *out_arguments], ["s3://results/reconcile/runs/once/report.html", *out_arguments[2:]]):
        rendered = reconcile("report", *location)
        assert (rendered.returncode, rendered.stdout.strip()) == (0, "s3://results/reconcile/runs/once/report.html")


@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary.pop("queued"),
        lambda summary: summary.update(recounts={"run_id": "x"}),
        lambda summary: summary.update(labels=["x"]),
    ],
)
def test_run_of_another_version_is_reported_in_one_line(report, tmp_path, change):
    shutil.copytree(report[0].parents[2], tmp_path / "out")
    summary = json.loads(json.dumps(report[1]))
    change(summary)
    (tmp_path / "out/runs/second/summary.json").write_text(json.dumps(summary))
    failed = reconcile("report", "second", "--out", tmp_path / "out")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "by a version of reconcile that is not known" in failed.stderr
