"""Working with the report in a real Chromium: sort, search, filter, page, mark, enlarge, print, give the marks back."""

import csv
import json
import re

import pytest
from playwright.sync_api import expect

from tests.conftest import reconcile, write_bucket

BINS = {f"B-{n:03d}": (n % 7, (n * 3 + n // 7) % 7) for n in range(58)}
BINS |= {"=1+1": (1, 5), "00012": (2, 6), "C-9": (3, 4), "C-10": (5, 1)}


@pytest.fixture(scope="module")
def run(grey_model, tmp_path_factory):
    """A run over 62 bins: its folder, and the arguments that made it."""
    base = tmp_path_factory.mktemp("recounting")
    folder = write_bucket(base / "warehouse", BINS)
    arguments = ["run", "--bucket", folder, "--model", grey_model, "--out", base / "out"]
    done = reconcile(*arguments, "--run-id", "monday")
    assert done.returncode == 0, done.stderr
    return base / "out" / "runs" / "monday", arguments


@pytest.fixture
def page(open_page, run):
    return open_page(run[0] / "report.html")


def column(page, place):
    """What stands in one column, from top to bottom; the first line of each cell."""
    rows = page.locator("#queue-table tbody tr").all()
    return [row.locator("th, td").nth(place).inner_text().strip().split("\n")[0] for row in rows]


def row_of(page, bin_id):
    return page.locator("#queue-table tbody tr", has=page.locator(f"text='{bin_id}'"))


def show_all(page):
    page.get_by_label("Bins per page").select_option("All")


def test_pages_of_25_that_can_be_turned(page):
    assert column(page, 0) == [str(n) for n in range(1, 26)]
    page.get_by_role("link", name="2", exact=True).click()
    assert column(page, 0) == [str(n) for n in range(26, 51)]
    show_all(page)
    assert len(column(page, 0)) == 62


def sort_by(page, title):
    """Click on a column's head and wait for the rows to be in their new order: they are when the head says so."""
    head = page.locator("#queue-table thead th", has_text=title).first
    head.click()
    expect(head).to_have_attribute("aria-sort", re.compile("ascending|descending"))


def test_sorts_by_numbers_as_numbers(page):
    show_all(page)
    sort_by(page, "record")
    records = [int(text) for text in column(page, 3)]
    assert records == sorted(records)
    sort_by(page, "chance wrong")
    shares = [int(text.strip("<>%")) for text in column(page, 5)]
    assert shares in (sorted(shares), sorted(shares, reverse=True))
    sort_by(page, "bin")
    bins = page.locator("#queue-table .bin-id").all_inner_texts()
    assert bins == ["00012", "=1+1", *(f"B-{n:03d}" for n in range(58)), "C-9", "C-10"]
    sort_by(page, "#")
    assert column(page, 0) == [str(n) for n in range(1, 63)]


def test_searches_ids_and_products(page):
    page.get_by_label("Search").fill("B-01")
    assert sorted(column(page, 2)) == [f"B-01{n}" for n in range(10)]
    page.get_by_label("Search").fill("B0TEST")
    assert len(column(page, 2)) == 25
    for words in ("Record is correct", "found", "no such bin"):
        page.get_by_label("Search").fill(words)
        assert page.locator("#queue-table tbody").inner_text().strip() == "No bin matches."
    page.get_by_label("Search").fill("no such bin")
    assert page.locator("#queue-table tbody").inner_text().strip() == "No bin matches."


def test_filters_by_direction_status_and_marks(page, run):
    show_all(page)
    page.get_by_label("Direction").select_option("short")
    short = set(column(page, 2))
    page.get_by_label("Direction").select_option("over")
    over = set(column(page, 2))
    assert short
    assert over
    assert len(short) + len(over) == 62
    page.get_by_label("Direction").select_option("")
    totals = json.loads((run[0] / "summary.json").read_text())["totals"]
    for status in ("short", "over", "match"):
        page.get_by_label("Status").select_option(status)
        assert len(column(page, 2)) == totals[status] > 0
        badges = page.locator("#queue-table tbody .badge").all_inner_texts()
        assert len(badges) == totals[status], "one for each bin"
        assert all(text.startswith("if wrong, " if status == "match" else f"{status}, probably ") for text in badges)
    page.get_by_label("Status").select_option("")
    row_of(page, "B-005").get_by_role("button", name="Record is correct").click()
    page.locator("#filter-marked").select_option("yes")
    assert column(page, 2) == ["B-005"]
    page.locator("#filter-marked").select_option("no")
    assert len(column(page, 2)) == 61


def test_marks_survive_a_reload_and_come_back_as_verdicts(page, run, tmp_path):
    show_all(page)
    right = row_of(page, "B-005")
    right.get_by_role("button", name="Record is correct").click()
    row_of(page, "=1+1").get_by_label("or your count").fill("3")
    row_of(page, "=1+1").get_by_label("note").fill('=HYPERLINK("x"); =1, "torn", über')
    row_of(page, "=1+1").get_by_label("note").press("Enter")
    row_of(page, "00012").get_by_label("or your count").fill("4")
    row_of(page, "00012").get_by_label("or your count").press("Tab")
    assert page.locator("#marked").inner_text() == "3 of 62 marked"
    undone = row_of(page, "B-007").get_by_role("button", name="Record is correct")
    undone.click()
    undone.click()
    assert undone.get_attribute("aria-pressed") == "false"

    page.reload()
    show_all(page)
    assert page.locator("#marked").inner_text() == "3 of 62 marked"
    assert right.get_by_role("button", name="Record is correct").get_attribute("aria-pressed") == "true"
    assert right.get_by_label("or your count").input_value() == str(BINS["B-005"][1])
    assert row_of(page, "=1+1").get_by_label("or your count").input_value() == "3"
    assert "über" in row_of(page, "=1+1").get_by_label("note").input_value()

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

    out = run[0].parents[1]
    done = reconcile("verdicts", "import", file, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 verdicts imported")
    again = reconcile(*run[1], "--run-id", "tuesday")
    assert again.returncode == 0, again.stderr
    report = (out / "runs" / "tuesday" / "report.html").read_text()
    assert "people recounted 3 bins" in report
    with (out / "runs" / "tuesday" / "recount.csv").open(encoding="utf-8-sig", newline="") as lines:
        queued = {row["bin_id"] for row in csv.DictReader(lines)}
    assert len(queued) == 59
    assert queued.isdisjoint({"B-005", "'=1+1", "00012"})


def test_nothing_that_was_written_is_lost(page):
    row = page.locator("#queue-table tbody tr").first
    count, note = row.get_by_label("or your count"), row.get_by_label("note")
    note.fill("box torn")
    note.press("Tab")
    page.reload()
    assert note.input_value() == "box torn", "also before there is a count"
    assert page.locator("#marked").inner_text() == "0 of 62 marked; 1 with a note but no count will not be exported"
    count.fill("2")
    count.press("Tab")
    for nonsense in ("2.5", "-1"):
        count.fill(nonsense)
        count.press("Tab")
        assert count.input_value() == nonsense, "it is left to be mended"
        assert row.get_by_text("Enter a whole number.").is_visible()
        assert page.locator("#marked").inner_text() == "1 of 62 marked"
    page.reload()
    assert count.input_value() == "2"
    assert note.input_value() == "box torn"
    count.fill("")
    count.press("Tab")
    assert page.locator("#marked").inner_text().startswith("0 of 62 marked; 1 with a note")


def test_a_count_that_is_typed_replaces_the_one_that_stood_there(page):
    row = row_of(page, "B-005")
    row.get_by_role("button", name="Record is correct").click()
    page.keyboard.press("Tab")
    page.keyboard.type("4")
    page.keyboard.press("Tab")
    assert row.get_by_label("or your count").input_value() == "4"


def test_on_a_phone_the_cards_can_be_sorted(open_page, run):
    page = open_page(run[0] / "report.html", width=375)
    page.get_by_label("Sort by").select_option("record")
    records = [int(text.split()[-1]) for text in page.locator("#queue-table td[data-label=record]").all_inner_texts()]
    assert records == sorted(records)
    assert len(set(records)) > 1


def test_says_so_where_the_browser_keeps_nothing(browser, run):
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page = context.new_page()
    page.goto(f"file://{run[0] / 'report.html'}")
    assert page.locator("#storage-note").is_visible()
    assert page.get_by_role("button", name="Export marks as CSV").is_disabled()
    page.get_by_role("button", name="Record is correct").first.click()
    assert page.locator("#marked").inner_text() == "1 of 62 marked"
    assert page.get_by_role("button", name="Export marks as CSV").is_enabled()
    context.close()


def test_enlarges_photos_and_steps_through_them(page):
    small = page.locator(".enlarge").first
    width = small.locator("img").bounding_box()["width"]
    small.click()
    dialog = page.get_by_role("dialog")
    first = dialog.locator("h2").inner_text()
    assert column(page, 2)[0] in first
    assert dialog.locator("img").bounding_box()["width"] > 3 * width
    dialog.get_by_role("button", name="Next").click()
    assert column(page, 2)[1] in dialog.locator("h2").inner_text()
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("h2").inner_text() == first
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_everything_can_be_done_by_keyboard_alone(page):
    def tab_to(selector):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"no way to {selector} by the tab key")

    tab_to("#filter-direction")
    page.keyboard.type("short")
    rows = page.locator("#queue-table tbody tr")
    assert set(rows.evaluate_all("rows => rows.map(row => row.dataset.direction)")) == {"short"}
    page.keyboard.press("ArrowUp")
    tab_to("input[type=search]")
    page.keyboard.type("B-02")
    assert len(column(page, 0)) == 10
    tab_to("th *, th")
    page.keyboard.press("Enter")
    expect(page.locator("#queue-table thead th").first).to_have_attribute("aria-sort", "descending")
    ranks = [int(text) for text in column(page, 0)]
    assert ranks == sorted(ranks, reverse=True)
    tab_to(".enlarge")
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.activeElement.matches('.enlarge')"), "the way goes on where it was left"
    tab_to(".right")
    page.keyboard.press("Space")
    assert page.locator("#marked").inner_text() == "1 of 62 marked"
    tab_to(".count")
    page.keyboard.type("5")
    tab_to("#export")


def test_prints_every_bin_that_fits_and_a_place_to_write(page):
    page.evaluate("""() => addEventListener('beforeprint', () => {
        document.body.dataset.printed = document.querySelectorAll('#queue-table tbody tr').length;
    })""")
    page.get_by_label("Direction").select_option("over")
    over = int(page.locator(".dt-info").inner_text().split(" of ")[1].split()[0])
    page.pdf()
    assert int(page.evaluate("document.body.dataset.printed")) == over > 25
    assert len(column(page, 0)) == 25, "afterwards the pages are back"
    page.emulate_media(media="print")
    for gone in (".tools", "nav", ".mark", ".dt-search", ".dt-paging"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator(".on-paper").first.inner_text() == "found: ______"
    assert page.locator(".bin-id").first.is_visible()
    assert page.locator("h1").is_visible()


def test_without_scripts_all_bins_are_there_to_be_read(browser, run):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{run[0] / 'report.html'}")
    assert page.locator("#queue-table tbody tr").count() == 62
    assert not page.get_by_role("button", name="Record is correct").first.is_visible()
    context.close()


def test_500_bins_open_with_little_work_for_the_browser(browser, grey_model, tmp_path):
    bins = {f"{n:05d}": (n % 7, (n * 5 + n // 7) % 7) for n in range(520)}
    folder = write_bucket(tmp_path / "large", bins)
    arguments = ["--bucket", folder, "--model", grey_model, "--out", tmp_path / "out", "--run-id", "r"]
    done = reconcile("run", *arguments, "--capacity", "510")
    assert done.returncode == 0, done.stderr
    # Some second of sorting: it takes longer where others keep the machine busy, as opening the page does. Before and
    # after, since others begin and end.
    sort = """() => {
        const begun = performance.now()
        for (let i = 0; i < 40; i++) Float64Array.from({length: 2e5}, (_, k) => (k * 7919) % 200003).sort()
        return (performance.now() - begun) / 1000
    }"""
    page = browser.new_page()
    sorting = page.evaluate(sort)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")  # it counts from here on
    page.goto(f"file://{tmp_path / 'out/runs/r/report.html'}")
    page.locator(".dt-info", has_text="of 500 bins").wait_for()
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    sorting = max(sorting, page.evaluate(sort))
    assert 0 < metrics["ScriptDuration"] < sorting
    assert "recount.csv has all 510" in page.locator("#queue .hint").first.inner_text()
    page.close()
