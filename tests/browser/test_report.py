"""The content of the report in Chromium: figures, photos, charts, hostile names, page widths and accessibility."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.reports import CLOSING, HOSTILE, table_rows


@pytest.fixture
def page(open_page, report):
    """Return the open report of `hostile_warehouse`."""
    return open_page(report[0])


def test_totals_add_up_and_equal_the_summary(page, report):
    tiles = page.locator("dd[data-status]").all()
    totals = {tile.get_attribute("data-status"): int(tile.inner_text()) for tile in tiles}
    total = totals.pop("total")
    assert sum(totals.values()) == total == report[1]["rows"]
    assert totals == {status: bins for status, bins in report[1]["totals"].items() if status != "stale"}


def test_overview_shows_the_estimate_and_previous_run(page, report):
    estimate = report[1]["expected_wrong_in_queue"]
    lead = page.locator(".lead").inner_text()
    assert f"We expect about {estimate['value']:.0f} wrong records among them" in lead
    assert f"(95% interval: {estimate['low']:.0f} to {estimate['high']:.0f})" in lead
    tiles = page.locator("#overview .tile").all_inner_texts()
    bins = next(text for text in tiles if text.startswith("bins"))
    assert f"previous run: {report[1]['rows']}" in bins
    assert any(text.startswith("unreadable photos\n2") for text in tiles)


def test_queued_bin_has_photo_record_count_and_probabilities(page, report):
    bins = page.locator("#queue-table tbody tr")
    assert bins.count() == sum(report[1]["totals"][status] for status in ("match", "short", "over")) == 7
    for index in range(7):
        photo = bins.nth(index).locator("img")
        photo.scroll_into_view_if_needed()
        assert photo.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    cells = {row[2].splitlines()[0]: row[3:6] for row in table_rows(page, "queue-table")}
    assert cells["00003"][:2] == ["5", "1"]
    assert cells["00004"][:2] == ["2", "6+"]
    chances = [int(texts[2].strip("<>%")) for texts in cells.values()]
    assert chances == sorted(chances, reverse=True)
    assert [texts[2] for texts in cells.values()][:3] == [">99%"] * 3, "a chance is never shown as certain"
    bars = page.locator("#queue-table tr", has_text="00004").locator(".bars li")
    assert bars.count() == 7
    heights = [bar.locator(".bar").bounding_box()["height"] for bar in bars.all()]
    assert max(heights) == heights[6] > 20
    assert "is-record" in bars.nth(2).get_attribute("class")


def test_hostile_names_are_shown_as_text(page):
    assert page.title().endswith("second")
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0
    for words in (HOSTILE, CLOSING, "</script>"):
        assert page.get_by_text(words).count() >= 1
    # The bin id, the item's name and ASIN, the product table, and the key of the unreadable photo.
    assert page.get_by_text(HOSTILE).count() >= 4
    assert page.locator("script").count() == 1


def test_content_policy_blocks_injected_scripts(browser, report):
    page = browser.new_page()
    console_messages = []
    page.on("console", lambda message: console_messages.append(message.text))
    page.goto(f"file://{report[0]}")
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = "document.title = 'owned'";
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', "<img src=x onerror=\\"document.title = 'owned'\\">");
    }""")
    page.wait_for_timeout(200)
    assert page.title() != "owned"
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert "script-src 'sha256-" in policy
    assert policy.startswith("default-src 'none'")
    assert len(console_messages) >= 2, "the browser logs what the policy blocked"
    page.close()


def test_accuracy_is_shown_in_charts_and_tables(page):
    rows = table_rows(page, "accuracy-table")
    assert [row[0] for row in rows] == ["0", "2", "3", "5", "all"]
    assert sum(int(row[1]) for row in rows[:-1]) == int(rows[-1][1])
    charts = page.locator("#accuracy figure.chart:visible")
    assert charts.count() == 3
    for chart in charts.all():
        assert chart.locator("svg").bounding_box()["height"] > 100
    cells = page.locator("#confusion-table tbody td.sum").all()
    assert sum(int(cell.inner_text()) for cell in cells) == int(rows[-1][1])


def test_history_and_locations_are_shown(page):
    rows = table_rows(page, "history-table")
    assert [row[0] for row in rows] == ["second", "first"]
    assert rows[0][2:4] == rows[1][2:4]
    assert page.locator("#history figure.chart:visible svg").count() == 1
    text = page.locator("#where").inner_text()
    assert "By shelf" in text
    assert "By place" in text
    assert "The pattern of --where finds no aisle in any bin id or photo key. An example of a bin id is" in text
    products = table_rows(page, "products-table")
    assert {row[0] for row in products} >= {"B0TEST", "B0Y"}


def test_bins_not_compared_have_a_reason(page):
    text = page.locator("#problems").inner_text()
    for reason in ("not an image (the bytes look like HTML", "no record for this photo", "no photo of this bin"):
        assert reason in text


@pytest.mark.parametrize("width", [320, 375, 800, 1130, 1300])
def test_report_fits_every_page_width(open_page, report, width):
    page = open_page(report[0], width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    first = page.locator("#queue-table tbody tr").first
    for selector in (".enlarge", ".bin-id", ".bars", ".right"):
        box = first.locator(selector).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 1300), ("light", 375), ("dark", 375)])
def test_axe_finds_no_violation(open_page, report, scheme, width):
    page = open_page(report[0], scheme, width)
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    page.locator(".enlarge").first.click()
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
