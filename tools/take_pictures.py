"""Take the screenshots of the documentation: docs/pictures/*.png.

    python tools/take_pictures.py [FOLDER]

Needs Chromium and the extra `dev` (playwright). The script follows the tutorial. It runs `reconcile demo` in a
temporary folder, marks bins in the report, imports the marks and runs the demo again. The demo draws its bins, because
the script keeps it from reaching the public bucket: no real photo may be in a picture.

The script finds elements by id, class and data attribute, so it still works after the report's wording has changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[1]
HOME = "/home/you/reconcile"
"""The name that the pictures show instead of that of the temporary folder."""
FOUND = {"00015": 2, "00040": 3, "00042": 9, "00043": 3, "00010": 4, "00011": 3, "00099": 3, "00140": 5}
"""The number of items in the drawings, by bin. The first six records are wrong, the last two are correct."""
WIDTH, HEIGHT = 1300, 900
KILOBYTES = 200


@dataclass(frozen=True)
class Camera:
    """Saves screenshots as PNG with a palette of 256 colours, which is a third of the size."""

    folder: Path

    def save(self, name: str, png: bytes) -> None:
        """Write one picture and print its size."""
        path = self.folder / f"{name}.png"
        # Maximum coverage keeps colours of a few pixels, such as that of a single digit.
        image = Image.open(BytesIO(png)).convert("RGB")
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
        image.save(path, optimize=True)
        size = path.stat().st_size / 1000
        print(f"{path}  {image.width} x {image.height}  {size:.0f} kB" + (" (too large)" if size > KILOBYTES else ""))

    def part(self, name: str, page: Page, top: str, bottom: str, margin: int = 12) -> None:
        """Save the page from the top of one element to the bottom of another one, with a margin around sections."""
        page.evaluate("scrollTo(0, 0)")
        first, last = (page.locator(selector).first.bounding_box() for selector in (top, bottom))
        assert first is not None, top
        assert last is not None, bottom
        size = page.viewport_size
        assert size is not None
        start = max(0, first["y"] - margin)
        end = last["y"] + last["height"] + (0 if "tr:" in bottom else margin)
        clip = {"x": 0, "y": start, "width": size["width"], "height": end - start}
        self.save(name, page.screenshot(full_page=True, clip=clip))  # type: ignore[arg-type]


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder)
    with tempfile.TemporaryDirectory(prefix="reconcile-pictures-") as scratch, _chromium() as browser:
        demo = Path(scratch) / "reconcile-demo"
        _reconcile("demo", "--out", str(demo))
        first = _newest_report(demo)
        _take_report(camera, browser, first)
        marks = _take_recount(camera, browser, first, Path(scratch))
        _take_phone(camera, browser, first)
        _take_dark(camera, browser, first)
        _take_counting(camera, browser, demo / "out")
        _reconcile("verdicts", "import", str(marks), "--out", str(demo / "out"))
        _reconcile("demo", "--out", str(demo))
        _take_second_run(camera, browser, _newest_report(demo))


def _take_report(camera: Camera, browser: Browser, report: Path) -> None:
    page = _open(browser, report)
    camera.part("report", page, "body > header", "#queue-table tbody tr:nth-child(3)", margin=20)
    camera.part("overview", page, "body > header", "#overview", margin=20)
    camera.part("queue", page, "#queue", "#queue-table tbody tr:nth-child(5)")
    camera.part("accuracy", page, "#accuracy", "#accuracy-table")
    camera.part("not-compared", page, "#problems", "#problems")
    page.context.close()


def _take_recount(camera: Camera, browser: Browser, report: Path, scratch: Path) -> Path:
    """Mark the bins of FOUND and export the marks. Return the exported file."""
    page = _open(browser, report)
    page.locator('tr[data-bin="00042"] .enlarge').click()
    camera.save("enlarged", page.locator("#enlarged").screenshot())
    page.keyboard.press("Escape")
    for bin_id, count in FOUND.items():
        row = page.locator(f'tr[data-bin="{bin_id}"]')
        if row.get_attribute("data-expected") == str(count):
            row.locator(".mark .right").click()
        else:
            row.locator(".mark .count").fill(str(count))
            row.locator(".mark .count").press("Tab")
    note = page.locator('tr[data-bin="00015"] .mark .remark')
    note.fill("looked behind the band")
    note.press("Tab")
    page.evaluate("document.activeElement.blur()")
    camera.part("marked", page, "#queue .tools", "#queue-table tbody tr:nth-child(3)")
    with page.expect_download() as download:
        page.locator("#export").click()
    path = scratch / download.value.suggested_filename
    download.value.save_as(path)
    page.context.close()
    return path


def _take_phone(camera: Camera, browser: Browser, report: Path) -> None:
    page = _open(browser, report, width=390, scale=1.5)
    camera.part("phone", page, "#queue-table tbody tr:nth-child(1)", "#queue-table tbody tr:nth-child(2)")
    page.context.close()


def _take_dark(camera: Camera, browser: Browser, report: Path) -> None:
    page = _open(browser, report, scheme="dark")
    camera.part("dark", page, "#queue", "#queue-table tbody tr:nth-child(3)")
    page.context.close()


def _take_counting(camera: Camera, browser: Browser, out: Path) -> None:
    """Show a card of `reconcile recount` on a phone, after one bin was counted."""
    program = Path(sys.executable).with_name("reconcile")
    command = [program, "recount", "--out", out, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        size = {"width": 390, "height": 780}
        context = browser.new_context(viewport=size, device_scale_factor=1.5, has_touch=True, is_mobile=True)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address)
        page.locator("#name").fill("Ann")
        page.locator("#who button").click()
        page.locator("#image").wait_for()
        page.locator(".digit").nth(2).click()
        page.locator("#last-reason, #outcome", has_text="you found").first.wait_for()
        page.locator("#image").wait_for()
        page.locator("#image").evaluate("image => image.decode()")
        page.locator(".digit:enabled").first.wait_for()
        camera.save("recount", page.screenshot())
        context.close()
        server.terminate()


def _take_second_run(camera: Camera, browser: Browser, report: Path) -> None:
    page = _open(browser, report)
    camera.part("second-run", page, "body > header", "#overview .tiles", margin=20)
    page.context.close()


def _open(browser: Browser, report: Path, width: int = WIDTH, scheme: str = "light", scale: float = 1) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,  # type: ignore[arg-type]
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#queue-table.dataTable").wait_for()
    # The script needs the real names for the marks, so only the text that is shown changes.
    page.evaluate(
        """([from, to]) => {
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
        }""",
        [str(report.parents[4]), HOME],
    )
    for photo in page.locator("#queue-table img").all():
        photo.evaluate("image => { image.loading = 'eager'; return image.decode(); }")
    return page


@contextmanager
def _chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def _reconcile(*arguments: str) -> None:
    """Run the command. An address on which no server listens is set as the proxy, so no bucket can be reached."""
    closed = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), closed)
    program = Path(sys.executable).with_name("reconcile")
    subprocess.run([program, *arguments], check=True, env=os.environ | proxies)  # noqa: S603


def _newest_report(demo: Path) -> Path:
    if not (demo / "bucket").is_dir():
        raise SystemExit("the demo used the public bucket: pictures must show drawn bins only")
    return max((demo / "out" / "runs").glob("*/report.html"))


if __name__ == "__main__":
    main()
