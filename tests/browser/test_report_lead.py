"""The lead of the report in Chromium, for runs with few bins to recount or without estimates."""

import shutil

import pytest

from reconcile.labels import CountLabels
from reconcile.text import plural
from tests.conftest import reconcile, write_bucket, write_grey_model


@pytest.fixture(scope="module")
def small_run(grey_model, tmp_path_factory):
    """Return the arguments of a run over three bins, and its output folder. Tests must not change that folder."""
    base = tmp_path_factory.mktemp("small")
    folder = write_bucket(base / "w", {"a": (1, 1), "b": (2, 4), "c": (3, 3)})
    arguments = ["run", "--bucket", folder, "--model", grey_model]
    done = reconcile(*arguments, "--out", base / "out", "--run-id", "one")
    assert done.returncode == 0, done.stderr
    return arguments, base / "out"


@pytest.mark.parametrize(
    ("capacity", "recounted", "sentence"),
    [
        ("100", 0, "Recount the first 3 bins of the queue"),
        ("100", 1, "Recount the first 2 bins of the queue"),
        ("1", 0, "Recount the first bin of the queue"),
        ("100", 3, "We compared 3 records with photos. People have recounted all of these bins."),
    ],
)
def test_lead_names_the_bins_left_to_recount(open_page, small_run, tmp_path, capacity, recounted, sentence):
    arguments, out = small_run
    shutil.copytree(out, tmp_path / "out")
    lines = [f"{bin_id},one,3\n" for bin_id in ("b", "a", "c")[:recounted]]
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\n" + "".join(lines))
    assert reconcile("verdicts", "import", "v.csv", "--out", "out").returncode == 0
    done = reconcile(*arguments, "--out", "out", "--capacity", capacity, "--run-id", "two")
    page = open_page(tmp_path / "out/runs/two/report.html")
    assert sentence in " ".join(page.locator(".lead").inner_text().split())
    remaining = min(int(capacity), 3 - recounted)
    assert page.locator("#queue-table tbody tr").count() == remaining
    if remaining:
        assert f"Probably wrong in the first {plural(remaining, 'bin')} " in done.stdout
        tiles = page.locator("#overview .tile").all_inner_texts()
        assert any(text.startswith(f"probably wrong in the first {plural(remaining, 'bin')}\n") for text in tiles)
    if recounted:
        assert f"After {recounted} recount" in page.locator(".recounts").inner_text()


def test_lead_reports_records_beyond_the_labels_of_the_model(open_page, tmp_path):
    write_grey_model(tmp_path / "closed.onnx", labels=CountLabels(("0", "1", "2", "3", "4", "5", "6")))
    folder = write_bucket(tmp_path / "w", {f"{n}": (2, 10 + n) for n in range(9)})
    done = reconcile("run", "--bucket", folder, "--model", "closed.onnx", "--out", "out", "--run-id", "r")
    assert done.returncode == 0, done.stderr
    page = open_page(tmp_path / "out/runs/r/report.html")
    assert "All of them hold more items than the model can count" in page.locator(".lead").inner_text()
    assert page.locator("#queue-table tbody tr").count() == 9
    # A badge shows only the status, because the model cannot estimate these bins.
    assert page.locator("#queue-table .badge.short").count() == 9
    rows = page.locator("#accuracy-table tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["more", "all"]
