"""Marks of people in the report, in Chromium: entry, storage in the browser, export and import as verdicts."""

import csv

import pytest

from tests.browser.queue_page import BINS, bin_row, show_all_bins
from tests.conftest import reconcile


@pytest.fixture
def page(open_page, queue_run):
    """Return the open report of `queue_run`."""
    return open_page(queue_run[0] / "report.html")


def test_marks_survive_a_reload_and_are_imported_as_verdicts(page, queue_run, tmp_path):
    show_all_bins(page)
    correct = bin_row(page, "B-005")
    correct.get_by_role("button", name="Record is correct").click()
    bin_row(page, "=1+1").get_by_label("or your count").fill("3")
    bin_row(page, "=1+1").get_by_label("note").fill('=HYPERLINK("x"); =1, "torn", über')
    bin_row(page, "=1+1").get_by_label("note").press("Enter")
    bin_row(page, "00012").get_by_label("or your count").fill("4")
    bin_row(page, "00012").get_by_label("or your count").press("Tab")
    assert page.locator("#marked").inner_text() == "3 of 62 marked"
    unmarked = bin_row(page, "B-007").get_by_role("button", name="Record is correct")
    unmarked.click()
    unmarked.click()
    assert unmarked.get_attribute("aria-pressed") == "false"

    page.reload()
    show_all_bins(page)
    assert page.locator("#marked").inner_text() == "3 of 62 marked"
    assert correct.get_by_role("button", name="Record is correct").get_attribute("aria-pressed") == "true"
    assert correct.get_by_label("or your count").input_value() == str(BINS["B-005"][1])
    assert bin_row(page, "=1+1").get_by_label("or your count").input_value() == "3"
    assert "über" in bin_row(page, "=1+1").get_by_label("note").input_value()

    with page.expect_download() as download:
        page.get_by_role("button", name="Export marks as CSV").click()
    assert download.value.suggested_filename == "verdicts-monday.csv"
    file = tmp_path / "verdicts.csv"
    download.value.save_as(file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        exported = {row["bin_id"]: row for row in csv.DictReader(lines)}
    assert set(exported) == {"B-005", "'=1+1", "00012"}
    cells = [cell for row in exported.values() for value in row.values() for cell in value.split(";")]
    assert not any(cell.strip().startswith(("=", "+", "-", "@")) for cell in cells)

    out = queue_run[0].parents[1]
    done = reconcile("verdicts", "import", file, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 verdicts imported")
    next_run = reconcile(*queue_run[1], "--run-id", "tuesday")
    assert next_run.returncode == 0, next_run.stderr
    report = (out / "runs" / "tuesday" / "report.html").read_text()
    assert "people recounted 3 bins" in report
    with (out / "runs" / "tuesday" / "recount.csv").open(encoding="utf-8-sig", newline="") as lines:
        queued = {row["bin_id"] for row in csv.DictReader(lines)}
    assert len(queued) == 59
    assert queued.isdisjoint({"B-005", "'=1+1", "00012"})


def test_typed_counts_and_notes_survive_a_reload(page):
    row = page.locator("#queue-table tbody tr").first
    count, note = row.get_by_label("or your count"), row.get_by_label("note")
    note.fill("box torn")
    note.press("Tab")
    page.reload()
    assert note.input_value() == "box torn", "a note is kept without a count"
    assert page.locator("#marked").inner_text() == "0 of 62 marked; 1 bin has only a note, which is not exported"
    count.fill("2")
    count.press("Tab")
    for invalid_count in ("2.5", "-1"):
        count.fill(invalid_count)
        count.press("Tab")
        assert count.input_value() == invalid_count, "an invalid count stays for correction"
        assert row.get_by_text("Enter a whole number.").is_visible()
        assert page.locator("#marked").inner_text() == "1 of 62 marked"
    page.reload()
    assert count.input_value() == "2"
    assert note.input_value() == "box torn"
    count.fill("")
    count.press("Tab")
    assert page.locator("#marked").inner_text().startswith("0 of 62 marked; 1 bin has only a note")


def test_typed_count_replaces_the_marked_count(page):
    row = bin_row(page, "B-005")
    row.get_by_role("button", name="Record is correct").click()
    page.keyboard.press("Tab")
    page.keyboard.type("4")
    page.keyboard.press("Tab")
    assert row.get_by_label("or your count").input_value() == "4"


def test_report_warns_when_the_browser_stores_nothing(browser, queue_run):
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page = context.new_page()
    page.goto(f"file://{queue_run[0] / 'report.html'}")
    assert page.locator("#storage-note").is_visible()
    assert page.get_by_role("button", name="Export marks as CSV").is_disabled()
    page.get_by_role("button", name="Record is correct").first.click()
    assert page.locator("#marked").inner_text() == "1 of 62 marked"
    assert page.get_by_role("button", name="Export marks as CSV").is_enabled()
    context.close()
