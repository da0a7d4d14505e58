"""The report in a real Chromium: what a person reads in it, and that names from records are never markup."""

import json
import re
import shutil

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import (
    SHARED,
    abid_record,
    grey_photo,
    needs_abid,
    reconcile,
    reconcile_from_scratch,
    write_bucket,
)

HOSTILE = "<img src=x onerror=document.title='owned'>"
CLOSING = "</script><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A warehouse with something of everything, hostile names included."""
    folder = write_bucket(
        tmp_path_factory.mktemp("browser") / "<b>w",
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
    items = {"x": {"asin": HOSTILE, "name": HOSTILE, "quantity": 4}, "y": {"asin": "B0Y", "name": HOSTILE * 2}}
    (folder / "metadata" / f"{HOSTILE}.json").write_text(json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": 5}))
    (folder / "bin-images" / f"{HOSTILE}2.jpg").write_bytes(b"{}")
    closing = {"BIN_FCSKU_DATA": {"x": {"asin": CLOSING, "name": CLOSING, "quantity": 2}}, "EXPECTED_QUANTITY": 2}
    (folder / "bin-images" / "</script>.jpg").parent.mkdir(exist_ok=True)
    (folder / "bin-images" / "</script>.jpg").write_bytes(grey_photo(2))
    (folder / "metadata" / "<").mkdir(exist_ok=True)
    (folder / "metadata" / "</script>.json").write_text(json.dumps(closing))
    return folder


def make_report(folder, model, out, run_id, *more):
    done = reconcile(
        "run", "--bucket", folder, "--model", model, "--out", out, "--run-id", run_id, "--max-unreadable", "1", *more
    )
    assert done.returncode == 0, done.stderr
    return out / "runs" / run_id / "report.html"


@pytest.fixture(scope="module")
def report(folder, grey_model, tmp_path_factory):
    """The second of two reports of that warehouse, and its summary."""
    out = tmp_path_factory.mktemp("out")
    make_report(folder, grey_model, out, "first")
    path = make_report(
        folder, grey_model, out, "second", "--where", r"(?P<aisle>aisle-\d+)?(?P<shelf>^.)0*(?P<place>\d?)"
    )
    return path, json.loads((path.parent / "summary.json").read_text())


@pytest.fixture
def page(open_page, report):
    return open_page(report[0])


def rows_of(page, table):
    return [
        [cell.inner_text().strip() for cell in row.locator("th, td").all()]
        for row in page.locator(f"#{table} tbody tr").all()
    ]


def test_the_totals_add_up_and_are_those_of_the_summary(page, report):
    found = page.locator("dd[data-status]").all()
    tiles = {tile.get_attribute("data-status"): int(tile.inner_text()) for tile in found}
    total = tiles.pop("total")
    assert sum(tiles.values()) == total == report[1]["rows"]
    assert tiles == {status: bins for status, bins in report[1]["totals"].items() if status != "stale"}


def test_the_night_is_told_in_one_sentence_and_in_numbers_beside_those_of_the_run_before(page, report):
    found = report[1]["expected_wrong_in_queue"]
    lead = page.locator(".lead").inner_text()
    assert f"We expect about {found['value']:.0f} wrong records among them" in lead
    assert f"(95% interval: {found['low']:.0f} to {found['high']:.0f})" in lead
    tiles = page.locator("#overview .tile").all_inner_texts()
    bins = next(text for text in tiles if text.startswith("bins"))
    assert f"previous run: {report[1]['rows']}" in bins
    assert any(text.startswith("unreadable images\n2") for text in tiles)


def test_each_bin_of_the_queue_has_its_photo_record_count_and_probabilities(page, report):
    bins = page.locator("#queue-table tbody tr")
    assert bins.count() == sum(report[1]["totals"][status] for status in ("match", "short", "over")) == 7
    for place in range(7):
        photo = bins.nth(place).locator("img")
        photo.scroll_into_view_if_needed()
        assert photo.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    facts = {row[2].splitlines()[0]: row[3:6] for row in rows_of(page, "queue-table")}
    assert facts["00003"][:2] == ["5", "1"]
    assert facts["00004"][:2] == ["2", "6+"]
    shares = [int(record[2].strip("<>%")) for record in facts.values()]
    assert shares == sorted(shares, reverse=True)
    assert [record[2] for record in facts.values()][:3] == [">99%"] * 3, "no photo is certain"
    bars = page.locator("#queue-table tr", has_text="00004").locator(".bars li")
    assert bars.count() == 7
    heights = [bar.locator(".bar").bounding_box()["height"] for bar in bars.all()]
    assert max(heights) == heights[6] > 20
    assert "is-record" in bars.nth(2).get_attribute("class")


def test_names_are_text_never_markup(page):
    assert page.title().endswith("second")
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0
    for words in (HOSTILE, CLOSING, "</script>"):
        assert page.get_by_text(words).count() >= 1
    assert page.get_by_text(HOSTILE).count() >= 4  # bin id, item's name and ASIN, product table, unreadable photo's key
    assert page.locator("script").count() == 1


def test_no_other_script_can_run_in_the_page(browser, report):
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
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
    assert len(complaints) >= 2, "what the policy refused is told on the console"
    page.close()


def test_accuracy_is_told_as_charts_and_as_tables(page):
    rows = rows_of(page, "accuracy-table")
    assert [row[0] for row in rows] == ["0", "2", "3", "5", "all"]
    assert sum(int(row[1]) for row in rows[:-1]) == int(rows[-1][1])
    charts = page.locator("#accuracy figure.chart:visible")
    assert charts.count() == 3
    for chart in charts.all():
        assert chart.locator("svg").bounding_box()["height"] > 100
    cells = page.locator("#confusion-table tbody td.sum").all()
    assert sum(int(cell.inner_text()) for cell in cells) == int(rows[-1][1])


def test_earlier_runs_and_places_are_told(page):
    rows = rows_of(page, "history-table")
    assert [row[0] for row in rows] == ["second", "first"]
    assert rows[0][2:4] == rows[1][2:4]
    assert page.locator("#history figure.chart:visible svg").count() == 1
    text = page.locator("#where").inner_text()
    assert "By shelf" in text
    assert "By place" in text
    assert "The pattern of --where finds no aisle in any bin id or photo key. An example of a bin id is" in text
    products = rows_of(page, "products-table")
    assert {row[0] for row in products} >= {"B0TEST", "B0Y"}


def test_what_was_not_compared_has_its_reason(page):
    text = page.locator("#problems").inner_text()
    for reason in ("not an image (the bytes look like HTML", "no record for this photo", "no photo of this bin"):
        assert reason in text


@pytest.mark.parametrize("width", [320, 375, 800, 1130, 1300])
def test_fits_every_width(open_page, report, width):
    page = open_page(report[0], width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    first = page.locator("#queue-table tbody tr").first
    for part in (".enlarge", ".bin-id", ".bars", ".right"):
        box = first.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 1300), ("light", 375), ("dark", 375)])
def test_axe_finds_no_violation(open_page, report, scheme, width):
    page = open_page(report[0], scheme, width)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.locator(".enlarge").first.click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_report_rendered_again_is_the_same(folder, grey_model, tmp_path):
    path = make_report(folder, grey_model, tmp_path / "out", "once")
    before = path.read_text()
    path.unlink()
    done = reconcile_from_scratch("report", "once", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(path)
    assert re.sub(r", report [\d.]+ s", "", path.read_text()) == before, "but for the time that rendering took"

    for named in (path, path.parent, f"{path.parent}/", path.parent.relative_to(tmp_path)):
        path.unlink()
        again = reconcile("report", named, cwd=tmp_path)
        assert (again.returncode, again.stdout.strip()) == (0, str(path)), again.stderr

    (tmp_path / "out").rename(tmp_path / "moved")
    assert reconcile("report", tmp_path / "moved/runs/once").returncode == 0
    assert f"verdicts-once.csv --out {tmp_path}/moved</code>" in (tmp_path / "moved/runs/once/report.html").read_text()
    (tmp_path / "moved").rename(tmp_path / "out")
    unknown = reconcile("report", tmp_path / "out/runs/once/notes.txt")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "notes.txt is neither a run id nor a path such as OUT/runs/ID" in unknown.stderr

    twice = reconcile("report", path, "--out", tmp_path / "other")
    assert twice.returncode == 2
    assert f"RUN is a path in {tmp_path}/out; omit --out" in twice.stderr

    refused = reconcile("report", "never", "--out", tmp_path / "out")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "no finished run never" in refused.stderr


def test_a_report_shows_the_photos_that_were_counted_or_none(open_page, grey_model, tmp_path, monkeypatch):
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
    refused = reconcile("report", "once", "--out", tmp_path / "out")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert (
        f"none of the 2 photos can be read from {folder}; name their present location with --bucket" in refused.stderr
    )
    assert path.read_bytes() == before, "a good report is not replaced by one without photos"
    shutil.rmtree(folder)
    refused = reconcile("report", "once", "--out", tmp_path / "out")
    advice = "name their present location with --bucket"
    assert f"the folder {folder} with the photos of the run does not exist; {advice}" in refused.stderr
    assert reconcile("report", "once", "--out", tmp_path / "out", "--no-photos").returncode == 0
    assert open_page(path).locator(".no-photo").count() == 2


def test_a_report_on_s3_is_rendered_again(s3, grey_model):
    write_bucket(s3.root / "w", {"a": (1, 5), "b": (2, 4)})
    (s3.root / "results").mkdir()
    where = ["--out", "s3://results/reconcile", "--endpoint-url", s3.endpoint_url]
    done = reconcile("run", "--bucket", "w", "--model", grey_model, "--run-id", "once", *where)
    assert done.returncode == 0, done.stderr
    for named in (["once", *where], ["s3://results/reconcile/runs/once/report.html", *where[2:]]):
        again = reconcile("report", *named)
        assert (again.returncode, again.stdout.strip()) == (0, "s3://results/reconcile/runs/once/report.html")


@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary.pop("queued"),
        lambda summary: summary.update(recounts={"run_id": "x"}),
        lambda summary: summary.update(labels=["x"]),
    ],
)
def test_a_run_of_another_version_is_refused_in_one_line(report, tmp_path, change):
    shutil.copytree(report[0].parents[2], tmp_path / "out")
    summary = json.loads(json.dumps(report[1]))
    change(summary)
    (tmp_path / "out/runs/second/summary.json").write_text(json.dumps(summary))
    refused = reconcile("report", "second", "--out", tmp_path / "out")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "by a version of reconcile that is not known" in refused.stderr


def test_one_huge_record_does_not_swell_the_page(grey_model, tmp_path):
    folder = write_bucket(tmp_path / "w", {"a": (1, 5), "b": (2, 2)})
    items = {f"x{n}": {"asin": "A" * 100_000 + str(n), "name": "n" * 300_000, "quantity": 1} for n in range(5)}
    (folder / "metadata" / "a.json").write_text(json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": 5}))
    assert make_report(folder, grey_model, tmp_path / "out", "r").stat().st_size < 1_000_000


def test_the_size_does_not_grow_with_the_number_of_bins(grey_model, tmp_path):
    sizes = []
    for number in (30, 300):
        folder = write_bucket(tmp_path / f"w{number}", {f"{n:05d}": (n % 7, (n * 5) % 7) for n in range(number)})
        sizes.append(make_report(folder, grey_model, tmp_path / f"o{number}", "r", "--capacity", "20").stat().st_size)
    assert sizes[1] < 1.02 * sizes[0]


@needs_abid
def test_real_photos_stay_within_the_limits_of_size(grey_model, tmp_path):
    for capacity, megabytes in ((100, 4), (500, 10)):
        path = make_report(SHARED / "night", grey_model, tmp_path / "out", f"c{capacity}", "--capacity", capacity)
        assert path.stat().st_size <= megabytes * 1e6
        assert len(pd.read_csv(path.parent / "recount.csv")) == capacity
