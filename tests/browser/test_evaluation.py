"""The page of an evaluation in Chromium: its text, its totals, and that it makes no request."""

from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import grey_photo, reconcile

HOSTILE = "<img src=x onerror=document.title='owned'>.jpg"


def evaluated(model, folder, *arguments):
    """Evaluate twenty photos, four of them counted wrong, and one unreadable file with a hostile name."""
    (folder / "bin-images").mkdir()
    lines = ["image,count,squashed_224"]
    for number in range(20):
        seen = number % 7
        (folder / "bin-images" / f"{number:05}.jpg").write_bytes(grey_photo(seen))
        lines.append(f"{number:05}.jpg,{max(seen - (number % 4 == 3), 0)},{number % 2}")
    (folder / "bin-images" / HOSTILE).write_bytes(b"no photo")
    lines.append(f"{HOSTILE},3,0")
    (folder / "labels.csv").write_text("\n".join(lines))
    done = reconcile("evaluate", "--data", folder, "--model", model, "--out", folder / "e", *arguments)
    assert done.returncode == 0, done.stderr
    return folder / "e" / "evaluation.html"


@contextmanager
def opened(browser, report, theme):
    """Open the page, and check at the end that it made no request and logged no message."""
    page = browser.new_page(color_scheme=theme)
    requests, console_lines = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: console_lines.append(message.text))
    page.on("pageerror", lambda error: console_lines.append(str(error)))
    page.goto(f"file://{report}")
    yield page
    assert requests == [f"file://{report}"]
    assert console_lines == []
    page.close()


@pytest.fixture(scope="module")
def report(grey_model, tmp_path_factory):
    return evaluated(grey_model, tmp_path_factory.mktemp("evaluated"))


@pytest.fixture(scope="module")
def planted_report(grey_model, tmp_path_factory):
    """Return the page of an evaluation with two of the twenty records altered, twenty times."""
    return evaluated(grey_model, tmp_path_factory.mktemp("planted"), "--plant", "10%")


@pytest.fixture(params=["light", "dark"])
def page(request, browser, report):
    with opened(browser, report, request.param) as page:
        yield page


@pytest.fixture(params=["light", "dark"])
def planted(request, browser, planted_report):
    with opened(browser, planted_report, request.param) as page:
        yield page


def test_page_opens_with_the_main_result(page):
    assert page.locator("p.lead").inner_text() == (
        "We compared the counts of 20 photos with their records. The model agreed with 16 records (80.0%). "
        "In 20 photos (100.0%) it was at most one item off."
    )


def test_each_chart_is_shown_once(page):
    for section in ("classes", "calibration", "coverage"):
        figures = page.locator(f"#{section} figure.chart:visible")
        assert figures.count() == 1
        assert figures.locator("svg").bounding_box()["height"] > 100
    assert page.locator("figure.chart:visible").count() == 3


def test_totals_of_the_tables_agree(page):
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


def test_links_lead_to_sections(page):
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_file_names_are_never_markup(page):
    assert page.get_by_text(HOSTILE).count() == 1
    assert page.locator("img").count() == 0
    assert page.title() != "owned"


def test_page_fits_a_phone(page):
    page.set_viewport_size({"width": 375, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_benchmark_comes_first_with_sentence_tile_and_chart(planted):
    sentence, counts = planted.locator("p.lead").all_inner_texts()
    assert sentence.startswith(
        "We altered 10% of the records on purpose, most of them by one or two items. Among the first "
    )
    assert counts.startswith("We compared the counts of 20 photos")
    assert planted.locator(".tile").filter(has_text="wrong records in the first 1 bin of the queue").count() == 1
    assert planted.locator("main section").first.get_attribute("id") == "planted"
    assert planted.locator("#planted-numbers figure.chart:visible svg").bounding_box()["height"] > 100


def test_totals_of_the_benchmark_agree(planted):
    for errors in ("slips", "uniform"):
        rows = planted.locator(f"#planted-{errors}-ranges tbody tr").all()
        bins = [float(row.locator("td").first.inner_text()) for row in rows]
        assert sum(bins) == pytest.approx(20, abs=0.3)
        assert planted.locator(f"#planted-{errors}-methods tbody tr").count() == 4
        assert planted.locator(f"#planted-{errors}-first tbody tr").count() == 16
        assert planted.locator(f"#planted-{errors}-numbers tbody tr").count() == 4


@pytest.mark.parametrize("width", [375, 1200])
def test_benchmark_is_accessible_and_fits_the_screen(planted, width):
    planted.set_viewport_size({"width": width, "height": 800})
    assert planted.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(planted).response["violations"] == []
