"""Access to the recount queue in Chromium: enlarged photos, keyboard, printing and no scripts."""

import pytest
from playwright.sync_api import expect

from tests.browser.queue_page import column_texts


@pytest.fixture
def page(open_page, queue_run):
    """Return the open report of `queue_run`."""
    return open_page(queue_run[0] / "report.html")


def test_enlarged_photos_can_be_stepped_through(page):
    thumbnail = page.locator(".enlarge").first
    width = thumbnail.locator("img").bounding_box()["width"]
    thumbnail.click()
    dialog = page.get_by_role("dialog")
    first_title = dialog.locator("h2").inner_text()
    assert column_texts(page, 2)[0] in first_title
    assert dialog.locator("img").bounding_box()["width"] > 3 * width
    dialog.get_by_role("button", name="Next").click()
    assert column_texts(page, 2)[1] in dialog.locator("h2").inner_text()
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("h2").inner_text() == first_title
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_report_is_usable_with_the_keyboard_alone(page):
    def tab_to(selector):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"the tab key does not reach {selector}")

    tab_to("#filter-direction")
    page.keyboard.type("short")
    rows = page.locator("#queue-table tbody tr")
    assert set(rows.evaluate_all("rows => rows.map(row => row.dataset.direction)")) == {"short"}
    page.keyboard.press("ArrowUp")
    tab_to("input[type=search]")
    page.keyboard.type("B-02")
    assert len(column_texts(page, 0)) == 10
    tab_to("th *, th")
    page.keyboard.press("Enter")
    expect(page.locator("#queue-table thead th").first).to_have_attribute("aria-sort", "descending")
    ranks = [int(text) for text in column_texts(page, 0)]
    assert ranks == sorted(ranks, reverse=True)
    tab_to(".enlarge")
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.activeElement.matches('.enlarge')"), "the focus returns to the photo"
    tab_to(".right")
    page.keyboard.press("Space")
    assert page.locator("#marked").inner_text() == "1 of 62 marked"
    tab_to(".count")
    page.keyboard.type("5")
    tab_to("#export")


def test_printed_report_has_all_matching_bins_and_blanks_to_fill(page):
    page.evaluate("""() => addEventListener('beforeprint', () => {
        document.body.dataset.printed = document.querySelectorAll('#queue-table tbody tr').length;
    })""")
    page.get_by_label("If wrong").select_option("over")
    over = int(page.locator(".dt-info").inner_text().split(" of ")[1].split()[0])
    page.pdf()
    assert int(page.evaluate("document.body.dataset.printed")) == over > 25
    assert len(column_texts(page, 0)) == 25, "the pages return after printing"
    page.emulate_media(media="print")
    for hidden in (".tools", "nav", ".mark", ".dt-search", ".dt-paging"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator(".on-paper").first.inner_text() == "found: ______"
    assert page.locator(".bin-id").first.is_visible()
    assert page.locator("h1").is_visible()


def test_report_without_scripts_shows_all_bins(browser, queue_run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{queue_run[0] / 'report.html'}")
    assert page.locator("#queue-table tbody tr").count() == 62
    assert not page.get_by_role("button", name="Record is correct").first.is_visible()
    context.close()
