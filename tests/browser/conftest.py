"""What the browser tests share: Chromium, and pages that must not talk to anyone or complain."""

import pytest
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="session")
def browser(chromium):
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        )
        yield instance
        instance.close()


@pytest.fixture
def open_page(browser):
    """Opens a file in a fresh profile; by the end of the test it must not have asked for anything or complained."""
    opened, requests, complaints = [], [], []

    def open_it(path, color_scheme="light", width=1300, height=900):
        context = browser.new_context(color_scheme=color_scheme, viewport={"width": width, "height": height})
        page = context.new_page()
        page.on("request", lambda asked: requests.append(asked.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"file://{path}")
        opened.append(context)
        return page

    yield open_it
    for context in opened:
        context.close()
    assert [url for url in requests if not url.startswith(("file://", "data:", "blob:"))] == []
    assert complaints == []
