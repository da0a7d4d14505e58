"""The page of an evaluation in a real Chromium: it reads well, adds up, and nothing leaves it."""

import pytest
from playwright.sync_api import sync_playwright

from tests.conftest import grey_photo, reconcile

HOSTILE = "<img src=x onerror=document.title='owned'>.jpg"


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-quic"])
        yield instance
        instance.close()


@pytest.fixture
def report(grey_model, tmp_path):
    """The page over twenty photos, of which four are counted wrong and one, with a hostile name, cannot be read."""
    (tmp_path / "bin-images").mkdir()
    lines = ["image,count,squashed_224"]
    for number in range(20):
        seen = number % 7
        (tmp_path / "bin-images" / f"{number:05}.jpg").write_bytes(grey_photo(seen))
        lines.append(f"{number:05}.jpg,{max(seen - (number % 4 == 3), 0)},{number % 2}")
    (tmp_path / "bin-images" / HOSTILE).write_bytes(b"no photo")
    lines.append(f"{HOSTILE},3,0")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    done = reconcile("evaluate", "--data", tmp_path, "--model", grey_model, "--out", "e")
    assert done.returncode == 0, done.stderr
    return tmp_path / "e" / "evaluation.html"


@pytest.fixture(params=["light", "dark"])
def page(request, browser, report):
    """The page, opened; it must not have asked for anything or complained by the end of the test."""
    opened = browser.new_page(color_scheme=request.param)
    requests, complaints = [], []
    opened.on("request", lambda asked: requests.append(asked.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"file://{report}")
    yield opened
    assert requests == [f"file://{report}"]
    assert complaints == []
    opened.close()


def test_opens_with_one_plain_sentence(page):
    assert page.locator("p.lead").inner_text() == (
        "Of 20 photos with a count on record, the model counted 16 the same (80.0%), "
        "and 20 the same or one item off (100.0%)."
    )


def test_each_chart_is_shown_once(page):
    for section in ("classes", "calibration", "coverage"):
        figures = page.locator(f"#{section} figure.chart:visible")
        assert figures.count() == 1
        assert figures.locator("svg").bounding_box()["height"] > 100
    assert page.locator("figure.chart:visible").count() == 3


def test_the_tables_add_up(page):
    def numbers(table, column):
        rows = page.locator(f"#{table} tbody tr").all()
        return [int(row.locator("td").nth(column).inner_text()) for row in rows]

    *classes, total = numbers("classes-table-0", 0)
    assert sum(classes) == total == 20
    assert sum(numbers("confusion-table", -1)) == 20
    assert sum(numbers("said-table", 0)) == 20
    assert sum(numbers("reliability-table", 0)) == 20
    assert sum(numbers("origins-table", 0)) == 20
    agreeing = [int(cell.inner_text()) for cell in page.locator("#confusion-table td.agrees").all()]
    assert sum(agreeing) == 16


def test_links_lead_to_their_sections(page):
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_names_are_text_never_markup(page):
    assert page.get_by_text(HOSTILE).count() == 1
    assert page.locator("img").count() == 0
    assert page.title() != "owned"


def test_fits_a_phone(page):
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
