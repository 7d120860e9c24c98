"""A real browser: Debian's Chromium, driven by Playwright, that reports what a page asks for and complains about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

MILLISECONDS = 60_000  # For whatever a page does at once, on a machine that is busy with something else.
expect.set_options(timeout=MILLISECONDS)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. For one module only: while it is open, Playwright occupies the thread's event loop."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, "These tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor: what a page stores is there when the next page opens, and gone after the test."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(MILLISECONDS)
        yield context


@pytest.fixture
def open_page(context: BrowserContext) -> Iterator[OpenPage]:
    """Opens the hub's page and waits until it can be used; in the end fails if a page complained or asked elsewhere.

    quiet=False: the test takes the server away, so the console may complain about that.
    """
    complaints: list[str] = []
    foreign: list[str] = []

    def open_page(address: str, *, quiet: bool = True) -> Page:
        page = context.new_page()

        def on_console(message: ConsoleMessage) -> None:
            if quiet and message.type in ("error", "warning"):
                complaints.append(message.text)

        def on_request(request: Request) -> None:
            if not request.url.startswith((f"{address}/", "data:", "blob:")):
                foreign.append(request.url)

        page.on("console", on_console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", on_request)
        page.goto(f"{address}/")
        expect(page.locator(".hub-picker")).to_be_visible()
        expect(page.locator("#photo-run")).to_be_visible()
        return page

    yield open_page
    assert complaints == []
    assert foreign == []
