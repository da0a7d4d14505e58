"""Fixtures of the browser tests: Chromium, pages that are checked for requests and errors, and runs with reports."""

import json

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.queue_page import BINS
from tests.browser.reports import CLOSING, HOSTILE, make_report
from tests.conftest import abid_record, grey_photo, reconcile, write_bucket


@pytest.fixture(scope="session")
def browser(chromium):
    """Return a running Chromium without background requests."""
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        )
        yield instance
        instance.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens a file in a new profile. No page may send a request or log to the console."""
    contexts, requests, console_messages = [], [], []

    def open_file(path, color_scheme="light", width=1300, height=900):
        context = browser.new_context(color_scheme=color_scheme, viewport={"width": width, "height": height})
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: console_messages.append(message.text))
        page.on("pageerror", lambda error: console_messages.append(str(error)))
        page.goto(f"file://{path}")
        contexts.append(context)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith(("file://", "data:", "blob:"))] == []
    assert console_messages == []


@pytest.fixture(scope="session")
def queue_run(grey_model, tmp_path_factory):
    """Return the folder of a run over 62 bins, and the arguments of the run."""
    base = tmp_path_factory.mktemp("queue")
    folder = write_bucket(base / "warehouse", BINS)
    arguments = ["run", "--bucket", folder, "--model", grey_model, "--out", base / "out"]
    done = reconcile(*arguments, "--run-id", "monday")
    assert done.returncode == 0, done.stderr
    return base / "out" / "runs" / "monday", arguments


@pytest.fixture(scope="session")
def hostile_warehouse(tmp_path_factory):
    """Return a bucket with bins of every status, some with hostile names."""
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


@pytest.fixture(scope="session")
def report(hostile_warehouse, grey_model, tmp_path_factory):
    """Return the path of the second report of `hostile_warehouse`, and the summary of its run."""
    out = tmp_path_factory.mktemp("out")
    make_report(hostile_warehouse, grey_model, out, "first")
    path = make_report(
        hostile_warehouse, grey_model, out, "second", "--where", r"(?P<aisle>aisle-\d+)?(?P<shelf>^.)0*(?P<place>\d?)"
    )
    return path, json.loads((path.parent / "summary.json").read_text())
