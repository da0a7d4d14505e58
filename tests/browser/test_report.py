"""The report in a real Chromium: totals add up, names are text, nothing leaves the page."""

import json

import pytest
from playwright.sync_api import sync_playwright

from tests.conftest import abid_record, grey_photo, reconcile, write_bucket

HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-quic"])
        yield instance
        instance.close()


@pytest.fixture
def report(grey_model, tmp_path):
    """The report of a warehouse with something of everything, hostile names included, and its summary."""
    folder = write_bucket(
        tmp_path / "w",
        {
            "00001": (2, 2),
            "00002": (3, 3),
            "00003": (1, 5),
            "00004": (6, 2),
            "00005": (4, None),
            "00006": (None, 3),
            "7": (0, 0),
        },
    )
    (folder / "bin-images" / "00008.jpg").write_bytes(b"<html>")
    (folder / "metadata" / "00008.json").write_bytes(abid_record(1))
    (folder / "bin-images" / f"{HOSTILE}.jpg").write_bytes(grey_photo(1))
    hostile = {"asin": HOSTILE, "name": HOSTILE, "quantity": 4}
    record = {"BIN_FCSKU_DATA": {"x": hostile}, "EXPECTED_QUANTITY": 5}
    (folder / "metadata" / f"{HOSTILE}.json").write_text(json.dumps(record))
    (folder / "bin-images" / f"{HOSTILE}2.jpg").write_bytes(b"{}")
    done = reconcile(
        "run", "--bucket", folder, "--model", grey_model, "--out", "out", "--run-id", "r", "--max-unreadable", "1"
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "out" / "runs" / "r"
    return run / "report.html", json.loads((run / "summary.json").read_text())


@pytest.fixture(params=["light", "dark"])
def page(request, browser, report):
    """The report, opened; it must not have asked for anything or complained by the end of the test."""
    opened = browser.new_page(color_scheme=request.param)
    requests, complaints = [], []
    opened.on("request", lambda asked: requests.append(asked.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"file://{report[0]}")
    yield opened
    outside = [url for url in requests if not url.startswith(("file://", "data:"))]
    assert len([url for url in requests if url.startswith("file://")]) == 1
    assert outside == []
    assert complaints == []
    opened.close()


def test_the_totals_add_up_and_are_those_of_the_summary(page, report):
    tiles = {tile.get_attribute("data-status"): int(tile.inner_text()) for tile in page.locator("[data-status]").all()}
    total = tiles.pop("total")
    assert sum(tiles.values()) == total == report[1]["rows"]
    assert tiles == {status: bins for status, bins in report[1]["totals"].items() if status != "stale"}


def test_each_discrepant_bin_has_its_photo_record_and_count(page, report):
    bins = page.locator("li.bin")
    assert bins.count() == report[1]["totals"]["short"] + report[1]["totals"]["over"] == 3
    for place in range(3):
        photo = bins.nth(place).locator("img")
        assert photo.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    facts = {item.locator(".bin-id").inner_text(): item.locator(".verdict").inner_text() for item in bins.all()}
    assert "record 5, count 1" in facts["00003"]
    assert "record 2, count 6+" in facts["00004"]
    shares = [float(text.split("p wrong ")[1].split("%")[0]) for text in facts.values()]
    assert shares == sorted(shares, reverse=True)


def test_names_are_text_never_markup(page):
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0
    names = page.get_by_text(HOSTILE)
    assert names.count() >= 4  # the bin id, the item's name and ASIN, the product table, the unreadable photo's key


def test_accuracy_is_told_as_chart_and_as_table(page):
    rows = [row.inner_text().split("\t") for row in page.locator("#accuracy-table tbody tr").all()]
    assert [row[0] for row in rows] == ["0", "2", "3", "5", "all"]
    assert sum(int(row[1]) for row in rows[:-1]) == int(rows[-1][1])
    assert page.locator("figure.chart:visible").count() == 1
    assert page.locator("figure.chart:visible svg").bounding_box()["height"] > 100
    cells = page.locator("#confusion-table tbody td.sum").all()
    assert sum(int(cell.inner_text()) for cell in cells) == int(rows[-1][1])


def test_what_was_not_compared_has_its_reason(page):
    text = page.locator("#problems").inner_text()
    for reason in ("not an image (the bytes look like HTML", "no record for this photo", "no photo of this bin"):
        assert reason in text


def test_fits_a_phone(page):
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
