"""A tour of the whole page in both themes, on a phone and in every language, measured by axe and kept as pictures.

`scripts/test tests/hub/ui/test_tour_browser.py --screenshots FOLDER` writes the pictures to a folder of your choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from hub.ui import language
from hub.ui.language import languages

SLOW = 120_000
SETTLED = 500  # Milliseconds after which whatever fades has faded.
DESKTOP, TABLET, PHONE = (
    {"width": 1280, "height": 900},
    {"width": 800, "height": 1100},
    {"width": 375, "height": 812},
)
TABS = ("photo", "video", "live", "activity")
# The rules of WCAG 2.2 A and AA, and those that are good practice.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture
def keep(pytestconfig: pytest.Config) -> Callable[[Page, str], None]:
    """Takes a picture of the whole page, if pictures are wanted."""
    chosen = pytestconfig.getoption("screenshots")

    def keep(page: Page, name: str) -> None:
        if chosen is None:
            return
        folder = Path(chosen)
        folder.mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(SETTLED)
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return keep


@pytest.fixture(scope="module")
def words() -> dict[str, dict[str, str]]:
    folder = Path(language.__file__).parent / "locales"
    return {code: json.loads((folder / f"{code}.json").read_text("utf-8")) for code in languages()}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A visitor of its own, by screen, theme and language, and what he brings along from an earlier visit."""
    contexts: list[BrowserContext] = []

    def visit(**options: Any) -> BrowserContext:
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(60_000)
        return contexts[-1]

    yield visit
    for context in contexts:
        context.close()


def violations(page: Page) -> list[str]:
    """What axe finds serious or critical, each with the elements that it is about."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{violation['id']}: {[node['html'][:200] for node in violation['nodes'][:4]]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


def turn_to(page: Page, tab: str) -> None:
    """Open a tab, through the menu in which a narrow page keeps those that do not fit."""
    button = page.locator(f'[role="tab"][data-tab-id="{tab}"]:visible')
    button.first.click()
    expect(page.locator(f'[role="tab"][data-tab-id="{tab}"][aria-selected="true"]').first).to_be_attached()


def test_the_tour(
    make_server: Callable[..., Any],
    open_page: Callable[..., Page],
    context: BrowserContext,
    visit: Callable[..., BrowserContext],
    noisy_clip: Path,
    keep: Callable[[Page, str], None],
    words: dict[str, dict[str, str]],
) -> None:
    found: dict[str, list[str]] = {}

    def check(page: Page, name: str, *, afresh: bool = True) -> None:
        """Note what is wrong: all of it is told at the end. afresh: whether axe would see anything new."""
        if afresh:
            page.wait_for_timeout(SETTLED)
        found[name] = violations(page) if afresh else []
        wider = int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
        if wider > 0:
            found[name].append(f"{wider} pixels wider than the screen")

    server = make_server()
    server.start()
    page = open_page(server.address)
    check(page, "photo-empty")
    keep(page, "photo-empty")

    page.click("[data-example] >> nth=0")
    expect(page.locator("#photo-download .hub-download")).to_be_visible(timeout=SLOW)
    check(page, "photo-done")
    keep(page, "photo-done")

    turn_to(page, "video")
    page.set_input_files("#video-picker .hub-picker-input", noisy_clip)
    expect(page.locator("#video-picker .hub-picker-name")).to_have_text(noisy_clip.name)
    check(page, "video-chosen")
    keep(page, "video-chosen")
    page.click("#video-run")
    expect(page.locator("#video-download .hub-download")).to_be_visible(timeout=SLOW)
    check(page, "video-done")
    keep(page, "video-done")

    for tab in ("live", "activity"):
        turn_to(page, tab)
        check(page, tab)
        keep(page, tab)
    page.click("[data-about] >> nth=0")
    expect(page.locator("#hub-about dialog")).to_be_visible()
    check(page, "about")
    keep(page, "about")

    page.keyboard.press("Escape")
    turn_to(page, "photo")
    kept = context.storage_state()
    for name, options in {
        "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
        "phone": {"viewport": PHONE, "has_touch": True},
        "phone-dark": {"viewport": PHONE, "color_scheme": "dark"},
        "tablet": {"viewport": TABLET},
    }.items():
        page = open_page(server.address, visitor=visit(storage_state=kept, **options))
        for tab in TABS:
            turn_to(page, tab)
            if tab in ("photo", "video"):
                expect(page.locator(f"#{tab}-download .hub-download")).to_be_visible()
            check(page, f"{tab}-{name}", afresh=name in ("dark", "phone"))
            keep(page, f"{tab}-{name}")

    for code in languages()[1:]:
        page = open_page(server.address, visitor=visit(storage_state=kept, viewport=DESKTOP, locale=code))
        expect(page.locator("html")).to_have_attribute("lang", code)
        for tab in TABS:
            expect(page.locator(f'[role="tab"][data-tab-id="{tab}"]').first).to_have_text(words[code][f"tab_{tab}"])
        turn_to(page, "photo")
        expect(page.locator("#photo-run")).to_have_text(words[code]["run"])
        expect(page.locator("#photo-download .hub-download")).to_contain_text(words[code]["download"])
        check(page, f"photo-{code}", afresh=False)
        keep(page, f"photo-{code}")
    assert not (told := [f"{name}: {line}" for name, lines in found.items() for line in lines]), "\n".join(told)
