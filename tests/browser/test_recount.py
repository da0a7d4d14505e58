"""The app of `reconcile recount` in Chromium, as a phone with touch shows it."""

import json
import re
import shutil
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.reports import HOSTILE
from tests.conftest import reconcile, write_bucket
from tests.recount_phones import read_verdicts
from tests.recount_process import RecountProcess, wait_for_verdicts

BINS = {f"{aisle}-{number}": (number % 7, (number * 3 + 1) % 7) for aisle in "AB" for number in range(1, 21)}
WHERE = r"(?P<aisle>[A-Z])-(?P<place>\d+)"


@pytest.fixture(scope="module")
def counted(tmp_path_factory, grey_model):
    """Return an output folder with a run over 40 bins, and with hostile names in one of them."""
    folder = tmp_path_factory.mktemp("recount")
    bucket = write_bucket(folder / "w", BINS)
    items = {"x": {"asin": HOSTILE, "name": HOSTILE, "quantity": 4}}
    record = json.dumps({"BIN_FCSKU_DATA": items, "EXPECTED_QUANTITY": 4})
    (bucket / "metadata/A-1.json").write_text(record)
    arguments = ["--model", grey_model, "--out", folder / "out", "--run-id", "n1", "--where", WHERE]
    done = reconcile("run", "--bucket", bucket, *arguments)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def out(counted, tmp_path):
    """Return a copy of the output folder."""
    return shutil.copytree(counted, tmp_path / "out")


@pytest.fixture
def start(out, tmp_path):
    """Return a function that starts a server over `out`."""
    running = []

    def start_server(*arguments):
        running.append(RecountProcess(tmp_path, "--out", out, *arguments).wait_until_ready())
        return running[-1]

    yield start_server
    for server in running:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def open_phone(browser):
    """Return a function that opens a server on a phone as a person. No page may reach another host or log errors."""
    contexts, requests, messages = [], [], []

    def open_app(server, who="Ann", scheme="light", script=None, width=390, height=844):
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=width < 1000, is_mobile=width < 1000,
            device_scale_factor=2, color_scheme=scheme, reduced_motion="reduce",
        )  # fmt: skip
        if script:
            context.add_init_script(script)
        page = context.new_page()
        origin = f"http://127.0.0.1:{server.port}/"
        page.on("request", lambda request: requests.append((request.url, origin)))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(server.address)
        contexts.append(context)
        if who:
            page.get_by_label("Your name or badge").fill(who)
            page.get_by_role("button", name="Start").click()
            expect(page.locator("#bin")).to_be_visible()
        return page

    yield open_app
    for context in contexts:
        context.close()
    assert [url for url, origin in requests if not url.startswith((origin, f"blob:{origin}"))] == []
    assert messages == []


def tap(page, name):
    page.get_by_role("button", name=name, exact=True).tap()


def count_bin(page, count):
    """Tap a count, and wait for the next card. Return the bin."""
    before = page.locator("#bin").inner_text()
    if count < 10:
        tap(page, str(count))
    else:
        tap(page, "10 or more")
        for digit in str(count):
            tap(page, digit)
        tap(page, f"Save {count}")
    expect(page.locator("#bin")).not_to_have_text(before)
    return before


def test_forty_bins_are_counted_blind_in_three_minutes(start, open_phone, out):
    page = open_phone(start())
    expect(page.locator("#bin")).to_have_text("A-1")
    assert page.locator("#items").inner_text() == HOSTILE
    started = time.monotonic()
    seen = []
    for number in range(40):
        bin_id = page.locator("#bin").inner_text()
        assert "record" not in page.locator("#card").inner_text().lower()
        seen.append(bin_id)
        tap(page, str(number % 10))
        if number < 39:
            expect(page.locator("#bin")).not_to_have_text(bin_id)
            expect(page.locator("#card")).to_be_visible()
    assert time.monotonic() - started < 180
    assert seen == [f"{aisle}-{number}" for aisle in "AB" for number in range(1, 21)], "in walking order"
    expect(page.locator("#end-title")).to_have_text("All bins are done")
    expect(page.locator("#end-text")).to_contain_text(
        re.compile(r"40 bins counted, \d+ records wrong\. We expected about")
    )
    rows = wait_for_verdicts(out, 40)
    assert {row["bin_id"]: row["true_count"] for row in rows} == {name: n % 10 for n, name in enumerate(seen)}
    assert page.title() == "Recount"


def test_record_is_shown_after_the_count_with_undo_and_reason(start, open_phone, out):
    page = open_phone(start())
    count_bin(page, 1)
    expect(page.locator("#outcome")).to_have_text("Bin A-1: Record 4, you found 1.")
    page.get_by_label("Why does the record differ?").select_option("damaged")
    expect(page.locator("#progress")).to_contain_text("1 of 40 done · 1 wrong so far")
    wait_for_verdicts(out, 2)
    tap(page, "Undo")
    expect(page.locator("#bin")).to_have_text("A-1")
    expect(page.locator("#progress")).to_contain_text("0 of 40 done")
    tap(page, "Note")
    page.get_by_label("Note", exact=True).fill("behind the box")
    count_bin(page, 12)
    expect(page.locator("#outcome")).to_have_text("Bin A-1: Record 4, you found 12.")
    rows = wait_for_verdicts(out, 5)
    kept = [row for row in rows if row["entry_id"] not in {row["withdraws"] for row in rows} and not row["withdraws"]]
    assert [(row["true_count"], row["note"]) for row in kept] == [(12, "behind the box")]
    assert {row["reason"] for row in rows} == {None, "damaged"}


def test_two_people_count_different_bins_and_see_each_other(start, open_phone):
    server = start()
    ann, ben = open_phone(server), open_phone(server, "Ben")
    assert ann.locator("#bin").inner_text() != ben.locator("#bin").inner_text()
    done = [count_bin(page, 2) for _ in range(5) for page in (ann, ben)]
    assert len(set(done)) == 10
    expect(ann.locator("#progress")).to_contain_text("10 of 40 done")
    tap(ann, "Bins")
    taken = ann.locator("#bin-list button", has_text="Ben is there")
    expect(taken.first).to_be_disabled()


def test_counts_wait_on_the_phone_without_a_network(start, open_phone, out):
    page = open_phone(start())
    done = [count_bin(page, 3)]
    page.context.set_offline(True)
    done += [count_bin(page, count) for count in (1, 2, 3, 4)]
    expect(page.locator("#notice")).to_contain_text("No network.")
    expect(page.locator("#notice")).to_contain_text("taps wait on this phone")
    page.context.set_offline(False)
    page.reload()
    expect(page.locator("#notice")).not_to_contain_text("No network.")
    rows = wait_for_verdicts(out, 5)
    assert [row["bin_id"] for row in sorted(rows, key=lambda row: (row["sequence"], row["line"]))] == done
    expect(page.locator("#progress")).to_contain_text("5 of 40 done")


def test_reloads_and_kills_of_the_server_lose_no_tap(start, open_phone, out):
    server = start()
    page = open_phone(server)
    done = []
    for number in range(12):
        done.append(count_bin(page, number % 10))
        if number % 4 == 1:
            server.kill()
            done.append(count_bin(page, 5))
            server.start(server.port)
        elif number % 4 == 3:
            page.reload()
            expect(page.locator("#card")).to_be_visible()
    rows = wait_for_verdicts(out, len(done))
    assert server.stop() == 0
    assert sorted(row["bin_id"] for row in read_verdicts(out)) == sorted(done), len(rows)


WITHOUT_STORAGE = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } });"
WITHOUT_COOKIES = "const ask = fetch; window.fetch = (url, more) => ask(url, { ...more, credentials: 'omit' });"


@pytest.mark.parametrize("script", [WITHOUT_STORAGE, WITHOUT_STORAGE + WITHOUT_COOKIES])
def test_browser_without_storage_says_so_and_counts(start, open_phone, out, script):
    page = open_phone(start(), script=script)
    expect(page.locator("#notice")).to_contain_text("This browser keeps nothing")
    expect(page.locator("#image")).to_be_visible()
    assert ("token=" in page.url) == (WITHOUT_COOKIES in script), "the token leaves the address if a cookie replaces it"
    count_bin(page, 1)
    assert wait_for_verdicts(out, 1)[0]["true_count"] == 1


def test_bin_without_its_photo_can_be_counted(start, open_phone, counted, out):
    photo = counted.parent / "w/bin-images/A-1.jpg"
    photo.rename(photo.with_suffix(".away"))
    try:
        page = open_phone(start())
        expect(page.locator("#no-photo")).to_contain_text("There is no photo: the file does not exist")
        page.on("dialog", lambda dialog: dialog.accept())
        count_bin(page, 300)
        assert wait_for_verdicts(out, 1)[0]["true_count"] == 300
    finally:
        photo.with_suffix(".away").rename(photo)


def test_photo_is_enlarged_with_two_fingers(start, open_phone):
    page = open_phone(start())
    expect(page.locator("#image")).to_be_visible()
    page.locator("#photo").evaluate("""box => {
        const at = box.getBoundingClientRect(), x = at.left + at.width / 2, y = at.top + at.height / 2;
        const send = (name, pointerId, dx) =>
            box.dispatchEvent(new PointerEvent(name, { pointerId, clientX: x + dx, clientY: y, bubbles: true }));
        box.setPointerCapture = () => {};
        send("pointerdown", 11, -20); send("pointerdown", 12, 20);
        send("pointermove", 11, -60); send("pointermove", 12, 60);
        send("pointerup", 11, -60); send("pointerup", 12, 60);
    }""")
    assert "scale(3)" in page.locator("#image").get_attribute("style")
    count_bin(page, 1)
    assert "scale(1)" in page.locator("#image").get_attribute("style")


def test_open_count_offers_the_record_first(start, open_phone, out):
    page = open_phone(start("--open"))
    first = page.locator("#entry button:visible").first
    expect(first).to_have_text("Record is correct: 4")
    expect(page.locator("#open-record")).to_contain_text("Record 4, the photo shows 1")
    first.tap()
    expect(page.locator("#bin")).to_have_text("A-2")
    assert wait_for_verdicts(out, 1)[0]["true_count"] == 4


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 390), ("light", 1440), ("dark", 1440)])
def test_axe_finds_no_violation_on_any_screen(start, open_phone, scheme, width):
    server = start()
    page = open_phone(server, None, scheme, width=width, height=900 if width > 1000 else 844)
    screens = [lambda: None, lambda: name_and_start(page), lambda: page.locator("#show-bins").click()]
    for show in screens:
        show()
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
    page.locator("#show-bins").click()
    page.locator(".digit").nth(1).click()
    expect(page.locator("#last-reason")).to_be_visible()
    page.locator("#remark").click()
    assert Axe().run(page).violations_count == 0
    assert page.locator("#phones").is_visible() == (width > 1000)


def name_and_start(page):
    page.get_by_label("Your name or badge").fill("Ann")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#bin")).to_be_visible()
    expect(page.locator(".digit").first).to_be_enabled()


def test_everything_is_large_enough_for_a_thumb(start, open_phone):
    page = open_phone(start())
    tap(page, "Note")
    for selector in ("button", "input", "select"):
        for control in page.locator(f"{selector}:visible").all():
            box = control.bounding_box()
            assert min(box["width"], box["height"]) >= 48, control.evaluate("it => it.outerHTML")
    sizes = page.evaluate("""() => [...document.querySelectorAll("body *")]
        .filter((it) => it.checkVisibility() && it.childNodes.length && it.textContent.trim() && !it.closest("svg"))
        .map((it) => parseFloat(getComputedStyle(it).fontSize))""")
    assert min(sizes) >= 16
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".digit").last.bounding_box()["y"] < 844
