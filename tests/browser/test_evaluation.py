"""The page of an evaluation in a real Chromium: it reads well, adds up, and nothing leaves it."""

from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import grey_photo, reconcile

HOSTILE = "<img src=x onerror=document.title='owned'>.jpg"


def evaluated(model, folder, *arguments):
    """The page over twenty photos, of which four are counted wrong and one, with a hostile name, cannot be read."""
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
    """The page; it must not have asked for anything or complained by the end."""
    page = browser.new_page(color_scheme=theme)
    requests, complaints = [], []
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"file://{report}")
    yield page
    assert requests == [f"file://{report}"]
    assert complaints == []
    page.close()


@pytest.fixture(scope="module")
def report(grey_model, tmp_path_factory):
    return evaluated(grey_model, tmp_path_factory.mktemp("evaluated"))


@pytest.fixture(scope="module")
def planted_report(grey_model, tmp_path_factory):
    """The same, with two of the twenty records altered, twenty times over."""
    return evaluated(grey_model, tmp_path_factory.mktemp("planted"), "--plant", "10%")


@pytest.fixture(params=["light", "dark"])
def page(request, browser, report):
    with opened(browser, report, request.param) as page:
        yield page


@pytest.fixture(params=["light", "dark"])
def planted(request, browser, planted_report):
    with opened(browser, planted_report, request.param) as page:
        yield page


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


def test_altered_records_come_first_with_a_sentence_a_tile_and_a_chart(planted):
    sentence, counts = planted.locator("p.lead").all_inner_texts()
    assert sentence.startswith("With 10% of the records altered by a slip, of the first 5% of the queue (1 bin) ")
    assert counts.startswith("Of 20 photos with a count on record")
    assert planted.locator(".tile").filter(has_text="wrong of the first 1 bin of the queue").count() == 1
    assert planted.locator("main section").first.get_attribute("id") == "planted"
    assert planted.locator("#planted-numbers figure.chart:visible svg").bounding_box()["height"] > 100


def test_altered_records_add_up_in_the_page(planted):
    for errors in ("slips", "uniform"):
        rows = planted.locator(f"#planted-{errors}-ranges tbody tr").all()
        bins = [float(row.locator("td").first.inner_text()) for row in rows]
        assert sum(bins) == pytest.approx(20, abs=0.3)
        assert planted.locator(f"#planted-{errors}-methods tbody tr").count() == 4
        assert planted.locator(f"#planted-{errors}-first tbody tr").count() == 16
        assert planted.locator(f"#planted-{errors}-numbers tbody tr").count() == 4


@pytest.mark.parametrize("width", [375, 1200])
def test_altered_records_are_for_every_reader(planted, width):
    planted.set_viewport_size({"width": width, "height": 800})
    assert planted.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(planted).response["violations"] == []
