"""The Activity tab as people use it: a real browser on the real program."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from ...conftest import Server

KEY = "the-operators-long-key"
SLOW = 120_000  # milliseconds: the first run loads torch and the model on a busy machine
SIDE = 1600  # pixels of a photo that takes long enough to be cancelled


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A hub that has an operator, and a server of weights that does not answer."""
    settings = {"operator_keys": KEY, "fetch_urls": '["http://127.0.0.1:9/"]'}
    server = Server(tmp_path_factory.mktemp("activity"), **settings)
    try:
        server.start()
        yield server
    finally:
        server.clear()


def restore(page: Page, path: Path) -> None:
    """Have a photo sent from the Photo tab."""
    page.click("[data-tab-id=photo]")
    page.set_input_files("#photo-picker .hub-picker-input", path)
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text(path.name)
    page.click("#photo-run")
    expect(page.locator("#photo-stage")).to_contain_text(path.name)


def lines(page: Page) -> Locator:
    return page.locator("#activity-jobs .hub-entry")


def state(place: Locator, name: str) -> None:
    expect(place.locator(f".hub-badge[data-state={name}]")).to_be_visible(timeout=SLOW)


def confirm(page: Page, *, yes: bool) -> None:
    page.locator("dialog[open] button[value=yes]" if yes else "dialog[open] button[value=no]").click()
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_the_activity_of_a_browser(
    server: Server, open_page: Callable[..., Page], noisy_png: Path, tmp_path: Path
) -> None:
    """Restored, found again after reload and restart, shown, cancelled and deleted; also on a phone."""
    large = tmp_path / "large.png"
    noise = np.random.default_rng(0).normal(128, 30, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).save(large, compress_level=1)
    page = open_page(server.address, quiet=False)  # The server is killed on the way.
    page.click("[data-tab-id=activity]")
    expect(page.locator("#activity-jobs [data-empty]")).to_be_visible()
    page.click("#activity-jobs [data-empty] button")
    restore(page, noisy_png)
    expect(page.locator("#photo-download .hub-download")).to_be_visible(timeout=SLOW)

    server.kill()
    server.start()
    page.click("[data-tab-id=activity]")
    page.reload()
    expect(lines(page)).to_have_count(1)
    state(lines(page).first, "completed")
    expect(lines(page).locator("time")).to_have_text(re.compile("now|ago"))
    assert page.eval_on_selector(
        "#activity-jobs .hub-entry img", "image => image.decode().then(() => image.naturalWidth)"
    )
    with page.expect_download() as waiting:
        lines(page).get_by_role("link", name="Download").click()
    assert waiting.value.suggested_filename == "noisy-restored.png"

    lines(page).locator("[data-do=show]").click()
    expect(page.locator("#photo-download .hub-download")).to_be_visible()
    expect(page.locator("#photo-stage h3")).to_have_text("noisy.png")
    restore(page, large)
    page.click("[data-tab-id=activity]")
    state(lines(page).first, "processing")
    page.set_viewport_size({"width": 360, "height": 800})
    expect(lines(page).first.locator("[role=progressbar]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    lines(page).first.locator("[data-do=cancel]").click()
    state(lines(page).first, "cancelled")
    page.set_viewport_size({"width": 1280, "height": 900})

    lines(page).last.locator("[data-do=delete]").focus()
    page.keyboard.press("Enter")
    confirm(page, yes=False)
    expect(lines(page)).to_have_count(2)
    page.keyboard.press("Enter")  # The focus is where it was.
    confirm(page, yes=True)
    expect(lines(page)).to_have_count(1)
    assert not [path for path in server.results_dir.rglob("*.png") if path.is_file()]


def test_the_operator_and_the_models(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server.address)
    page.click("[data-tab-id=activity]")
    install = page.locator("[data-id=denoise_b] [data-do=install]")
    expect(install).to_be_disabled()
    page.get_by_label("Operator's key").fill("not-the-operators-key")
    page.keyboard.press("Enter")
    expect(page.locator("[data-alert=unlock]")).to_contain_text("not the one that is asked for")
    expect(install).to_be_disabled()
    page.get_by_label("Operator's key").fill(KEY)
    page.keyboard.press("Enter")
    expect(install).to_be_enabled()
    expect(page.locator("[data-unlock]")).to_be_hidden()

    install.click()
    state(lines(page).first, "failed")
    expect(lines(page).first).to_contain_text("could not be downloaded")
    expect(install).to_be_enabled()

    page.locator("[data-do=clear]").click()
    confirm(page, yes=True)
    expect(page.locator("[data-part=cleared]")).to_contain_text("Deleted: 0 results")

    page.reload()
    expect(install).to_be_disabled()
    page.locator(".hub-footer [data-about]").click()
    expect(page.locator("#hub-about dialog")).to_contain_text("Uformer-B: motion blur")
    page.keyboard.press("Escape")
    expect(page.locator("#hub-about dialog")).to_be_hidden()
