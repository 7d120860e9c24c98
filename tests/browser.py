"""The browser that tests of the page drive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-device-for-media-stream",  # A camera that shows a clock; a page gets it once a test grants that.
]
_UNNAMED = """elements => elements.filter((element) => element.checkVisibility() && !(element.innerText.trim()
  || element.ariaLabel || element.labels?.length)).map((element) => element.outerHTML.slice(0, 200))"""


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Chromium without a window. For one module only: while it is open, Playwright occupies the thread's event loop."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program, "These tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def unnamed_controls(page: Page) -> list[str]:
    """The HTML of visible controls that have no name for those who cannot see them."""
    found: list[str] = page.eval_on_selector_all("button, input:not([type=file]), a, select", _UNNAMED)
    return found
