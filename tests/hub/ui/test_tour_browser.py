"""A tour of the whole page: each state in light and dark, on a phone and in every language, measured by axe.

`scripts/test tests/hub/ui/test_tour_browser.py --screenshots FOLDER` writes pictures to a folder of your choice, also
of states that other tests prove and that take longer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from hub.ui import language
from hub.ui.language import languages

from ...conftest import Server
from .album import Album

SLOW = 240_000  # milliseconds: the first run loads torch and the model on a busy machine
# A page opens the tab that was used last; here each begins with photos.
FORGET_TAB = "localStorage.removeItem('uformer-hub-tab')"
TABS = ("photo", "video", "live", "activity")
LIMIT = 20  # megabytes of an upload
BOTH = ("desktop", "phone")
THEMES = ("desktop", "dark", "phone", "phone-dark")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The program, and no server of weights that answers."""
    settings = {"fetch_urls": '["http://127.0.0.1:9/"]', "max_upload_mb": str(LIMIT)}
    server = Server(tmp_path_factory.mktemp("tour"), **settings)
    try:
        server.start()
        yield server
    finally:
        server.clear()


@pytest.fixture(scope="module")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """One who comes again and again, and has a camera."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"]) as context:
        context.set_default_timeout(60_000)
        context.add_init_script(FORGET_TAB)
        yield context


@pytest.fixture
def album(pytestconfig: pytest.Config) -> Iterator[Album]:
    folder = pytestconfig.getoption("screenshots")
    album = Album(Path(folder) if folder else None)
    yield album
    assert not album.faults, "\n".join(album.faults)


@pytest.fixture(scope="module")
def photos(hub: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Details of the examples that stand on the page."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for name, example, (left, top) in (
        ("red ball.jpg", "still-life", (150, 180)),
        ("shore.jpg", "mountain-lake", (300, 200)),
        ("windows at night.jpg", "night-street", (320, 120)),
        ("marble.jpg", "still-life", (440, 320)),
    ):
        with Image.open(hub.data_dir / "examples" / f"{example}.png") as picture:
            paths.append(folder / name)
            picture.crop((left, top, left + 240, top + 180)).convert("RGB").save(paths[-1], quality=95)
    return paths


@pytest.fixture(scope="module")
def words() -> dict[str, dict[str, str]]:
    folder = Path(language.__file__).parent / "locales"
    return {code: json.loads((folder / f"{code}.json").read_text("utf-8")) for code in languages()}


def turn_to(page: Page, tab: str) -> None:
    """Open a tab, through the menu in which a narrow page keeps those that do not fit."""
    button = page.locator(f'[role="tab"][data-tab-id="{tab}"]:visible')
    button.first.click()
    expect(page.locator(f'[role="tab"][data-tab-id="{tab}"][aria-selected="true"]').first).to_be_attached()


def choose(page: Page, tab: str, *paths: Path) -> None:
    page.set_input_files(f"#{tab}-picker .hub-picker-input", paths)


def done(page: Page, tab: str) -> None:
    """Wait for a result."""
    expect(page.locator(f"#{tab}-download .hub-download")).to_be_visible(timeout=SLOW)


def test_the_tour(
    hub: Server,
    visitor: BrowserContext,
    open_page: Callable[..., Page],
    photos: list[Path],
    night_walk: Path,
    album: Album,
    tmp_path: Path,
) -> None:
    page = open_page(hub.address, visitor=visitor)
    show_photos(page, photos, album, tmp_path)
    if album.wanted:
        show_photos_under_way(page, hub, album, tmp_path)
    turn_to(page, "video")
    show_clips(page, night_walk, album)
    turn_to(page, "live")
    show_camera(page, album)
    turn_to(page, "activity")
    if album.wanted:
        page.click("[data-id=denoise_b] [data-do=install]")
        expect(page.locator("#activity-jobs [data-state=failed]")).to_be_visible(timeout=SLOW)
        page.close()
        page = open_page(hub.address, visitor=visitor)
        turn_to(page, "activity")
    show_activity(page, album)
    show_gradio(page, album)


def show_photos(page: Page, photos: list[Path], album: Album, folder: Path) -> None:
    """One, then several with one that is none."""
    album.show(page, "photo-empty", measure=("desktop",), keep=(*THEMES, "tablet"))
    page.click("[data-example=still-life]")
    expect(page.locator("#photo-stage [role=progressbar]")).to_be_visible()
    album.show(page, "photo-working", keep=BOTH)
    done(page, "photo")
    page.wait_for_function("() => document.querySelector('#photo-compare [data-loading=no]')")
    album.show(page, "photo-done", keep=(*THEMES, "tablet"))
    page.click("#photo-snippet summary")
    album.show(page, "photo-api", measure=THEMES[:3], keep=(*BOTH, "dark"))
    page.click("#photo-snippet summary")
    if album.wanted:
        page.click("#photo-compare [data-do=one]")
        album.show(page, "photo-one-to-one", keep=BOTH)

    letter = folder / "letter.txt"
    letter.write_text("Dear hub", "utf-8")
    choose(page, "photo", *photos, letter)
    expect(page.locator("#photo-picker .hub-picker-many li")).to_have_count(len(photos))
    expect(page.locator("#photo-picker .hub-alert")).to_be_visible()
    album.show(page, "photo-several-chosen", keep=THEMES)
    page.click("#photo-run")
    expect(page.locator("#photo-strip [data-title]")).to_have_text("4 of 4 photos restored", timeout=SLOW)
    album.show(page, "photo-several-done", measure=("desktop", "dark"), keep=THEMES)


def show_photos_under_way(page: Page, hub: Server, album: Album, folder: Path) -> None:
    """What other tests prove: large photos one after the other, a part of one, a cancelled one, mistakes."""
    with Image.open(hub.data_dir / "examples" / "night-street.png") as picture:
        large = picture.resize((1920, 1280), Image.Resampling.NEAREST)
    paths = [folder / f"{name}.jpg" for name in ("evening", "midnight", "morning")]
    for turn, path in enumerate(paths):
        large.rotate(180 * turn).save(path, quality=92)
    choose(page, "photo", *paths)
    expect(page.locator("#photo-picker .hub-picker-many li")).to_have_count(3)
    page.click("#photo-run")
    expect(page.locator("#photo-strip [data-state=processing]").first).to_be_visible(timeout=SLOW)
    page.wait_for_function("() => parseInt(document.querySelector('#photo-stage .hub-numbers').textContent) > 10")
    album.show(page, "photo-several-working", keep=(*BOTH, "dark"))
    page.click("#photo-strip [data-cancel]")
    expect(page.locator("#photo-stage .hub-quiet")).to_be_visible(timeout=SLOW)
    album.show(page, "photo-cancelled", keep=(*BOTH, "dark"))

    choose(page, "photo", paths[0])
    expect(page.locator("#photo-picker [data-look]")).to_be_visible()
    page.focus("#photo-picker [data-frame]")
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    page.click("#photo-picker [data-look]")
    page.wait_for_function("() => document.querySelector('#photo-preview-compare [data-loading=no]')", timeout=SLOW)
    album.show(page, "photo-part", keep=THEMES)

    hostile = folder / "holiday.jpg"
    hostile.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 20)
    huge = folder / "poster.tif"
    with huge.open("wb") as file:
        file.truncate(LIMIT * 1_400_000)
    for name, path in (("hostile", hostile), ("too-large", huge)):
        choose(page, "photo", path)
        page.wait_for_function(
            "() => document.querySelector('#photo-picker [data-busy]').textContent === ''"
            " && !document.querySelector('#photo-picker .hub-alert').hidden"
        )
        album.show(page, f"photo-{name}", keep=(*BOTH, "dark"))
    page.click("#photo-task label:has-text('Deblur')")
    choose(page, "photo", paths[1])
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text(paths[1].name)
    page.click("#photo-run")
    expect(page.locator("#photo-stage .hub-problem")).to_be_visible()
    album.show(page, "photo-refused", keep=(*BOTH, "dark"))


def show_clips(page: Page, clip: Path, album: Album) -> None:
    """A part of one, its forecast, one frame beforehand, and the whole."""
    album.show(page, "video-empty", keep=BOTH)
    choose(page, "video", clip)
    expect(page.locator("#video-picker .hub-picker-name")).to_have_text(clip.name)
    slider = page.locator("#video-second input[type=number]")
    for second, button, clock in (("0.5", "#video-start-here", "0:00.50"), ("1", "#video-end-here", "0:01.08")):
        slider.fill(second)
        slider.press("Enter")
        page.click(button)
        expect(page.locator("#video-range")).to_contain_text(clock)
    expect(page.locator("#video-forecast")).to_contain_text("The result has", timeout=SLOW)
    album.show(page, "video-chosen", measure=("desktop",), keep=THEMES)
    if album.wanted:
        page.click("#video-more > button")
        album.show(page, "video-options", keep=(*BOTH, "dark"))
        page.click("#video-more > button")
        page.click("#video-look")
        page.wait_for_function("() => document.querySelector('#video-compare [data-loading=no]')", timeout=SLOW)
        album.show(page, "video-frame", keep=BOTH)
        page.click("#video-whole")

    page.click("#video-run")
    if album.wanted:
        expect(page.locator("#video-stage .hub-latest img")).to_be_visible(timeout=SLOW)
        album.show(page, "video-working", keep=(*BOTH, "dark"))
    done(page, "video")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#video-player video')].every((clip) => clip.readyState === 4)"
    )
    album.show(page, "video-done", measure=("desktop", "dark", "phone"), keep=(*THEMES, "tablet"))
    if album.wanted:
        page.locator("#video-player [data-seek]").fill("0.9")
        page.click("#video-player [data-do=view]")
        album.show(page, "video-wipe", keep=BOTH)


def show_camera(page: Page, album: Album) -> None:
    """Off; on, in two views; and one that cannot be had."""
    album.show(page, "live-empty", measure=THEMES[:3], keep=(*THEMES, "tablet"))
    if not album.wanted:
        return
    page.click(".hub-live-go")
    expect(page.locator(".hub-live")).to_have_attribute("data-state", "live", timeout=SLOW)
    expect(page.locator("[data-figure=rate]")).not_to_have_text("–", timeout=SLOW)
    album.show(page, "live", keep=THEMES)
    page.click("[data-choose-view=split]")
    album.show(page, "live-split", keep=BOTH)
    page.click(".hub-live-go")
    page.evaluate("""() => { navigator.mediaDevices.getUserMedia = async () => {
      throw new DOMException("no", "NotAllowedError");
    }; }""")
    page.click(".hub-live-go")
    expect(page.locator(".hub-live .hub-alert")).to_be_visible()
    album.show(page, "live-denied", keep=(*BOTH, "dark"))


def show_activity(page: Page, album: Album) -> None:
    """All that was done, what is asked before something is deleted, and what the models are."""
    page.wait_for_function("() => [...document.querySelectorAll('#activity-jobs img')].every((one) => one.complete)")
    album.show(page, "activity", measure=("desktop", "dark", "phone"), keep=(*THEMES, "tablet"))
    page.click("#activity-jobs [data-do=delete] >> nth=0")
    expect(page.locator("dialog[open]")).to_be_visible()
    album.show(page, "activity-delete", keep=(*BOTH, "dark"), whole=False)
    page.keyboard.press("Escape")
    page.click("[data-about] >> nth=0")
    expect(page.locator("#hub-about dialog")).to_be_visible()
    album.show(page, "about", measure=("desktop",), keep=THEMES, whole=False)
    page.keyboard.press("Escape")


def show_gradio(page: Page, album: Album) -> None:
    """Gradio's own page: the endpoints that have names, how Python calls them, and nothing that is off."""
    page.get_by_role("link", name="Gradio API").click()
    shown = page.locator(".api-docs h3:visible")
    expect(shown).to_have_count(3)
    names = [re.findall(r"/\w+", title)[0] for title in shown.all_inner_texts()]
    assert names == ["/denoise", "/deblur", "/restore_video"]
    expect(page.locator(".api-docs")).to_contain_text("handle_file(")
    album.show(page, "gradio", keep=("desktop",), whole=False)


@pytest.mark.parametrize("code", languages()[1:])
def test_languages(
    hub: Server,
    browser: Browser,
    visitor: BrowserContext,
    open_page: Callable[..., Page],
    words: dict[str, dict[str, str]],
    album: Album,
    code: str,
) -> None:
    """The browser's is spoken, and nothing is wider than a phone; German has the longest words."""
    with browser.new_context(storage_state=visitor.storage_state(), locale=code) as context:
        context.add_init_script(FORGET_TAB)
        page = open_page(hub.address, visitor=context)
        expect(page.locator("html")).to_have_attribute("lang", code)
        for tab in TABS:
            expect(page.locator(f'[role="tab"][data-tab-id="{tab}"]').first).to_have_text(words[code][f"tab_{tab}"])
        expect(page.locator("#photo-run")).to_have_text(words[code]["run"])
        for tab in TABS if album.wanted or code == "de" else ("photo",):
            turn_to(page, tab)
            album.show(page, f"{tab}-{code}", fit=("phone",), keep=BOTH)
