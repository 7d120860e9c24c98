"""The viewer in a real browser, on a page that holds nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from hub.ui import viewer as module
from hub.ui.viewer import viewer

HEIGHT, WIDTH = 256, 384
ASSETS = Path(module.__file__).parent / "assets"
# What Gradio does for a component; its place on the page is at a fraction of a pixel.
PAGE = """<!doctype html><title>Viewer</title><style>{css}</style>
<div style="margin: 7.37px 0 0 3.3px; width: {width}px"><div id="viewer">{template}</div></div>
<script>
const element = document.getElementById("viewer");
const props = {{ value: null }};
let told = () => {{}};
const watch = (_, call) => (told = call);
window.show = (value) => {{ props.value = value; told(); }};
(() => {{ {script} }})();
</script>"""
LOOK = """() => {
  const corner = document.querySelector(".hub-viewer-screen").getBoundingClientRect();
  const boxes = [...document.querySelectorAll("img")].map((image) => image.getBoundingClientRect());
  return {
    boxes: boxes.map((box) => [box.x - corner.x, box.y - corner.y, box.width, box.height]),
    screen: [corner.x, corner.y, corner.width, corner.height],
    share: Number(document.querySelector("[role=slider]").getAttribute("aria-valuenow")),
    zoom: document.querySelector("[data-zoom]").textContent,
    rendering: getComputedStyle(document.querySelector("img")).imageRendering,
  };
}"""


@dataclass(frozen=True)
class Look:
    """Where the two pictures lie on the viewer's screen, where that lies on the page; divider, zoom and rendering."""

    boxes: list[list[float]]
    screen: list[float]
    share: int
    zoom: str
    rendering: str

    @property
    def box(self) -> list[float]:
        """Of both pictures: they are in register."""
        assert self.boxes[0] == self.boxes[1]
        return self.boxes[0]


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise before, its negative after: neither forgives being blended or moved by a pixel."""
    before = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return before, 255 - before


@pytest.fixture
def open_viewer(browser: Browser, pair: tuple[NDArray[np.uint8], NDArray[np.uint8]], tmp_path: Path) -> Iterator[Any]:
    contexts = []

    def open_viewer(width: float = 642.4, zoom: str = "fit", **options: Any) -> Page:
        component = viewer("viewer")
        css = "".join((ASSETS / name).read_text("utf-8") for name in ("page.css", "viewer.css"))
        html = PAGE.format(css=css, width=width, template=component.html_template, script=component.js_on_load)
        (tmp_path / "page.html").write_text(html, "utf-8")
        for name, picture in zip(("before.png", "after.png"), pair, strict=True):
            Image.fromarray(picture).save(tmp_path / name)
        contexts.append(browser.new_context(viewport={"width": 700, "height": 800}, **options))
        page = contexts[-1].new_page()
        page.goto((tmp_path / "page.html").as_uri())
        page.evaluate(f"show({json.dumps({'before': 'before.png', 'after': 'after.png', 'zoom': zoom})})")
        expect(page.locator(".hub-viewer")).to_have_attribute("data-close", "no")
        return page

    yield open_viewer
    for context in contexts:
        context.close()


def look(page: Page) -> Look:
    return Look(**page.evaluate(LOOK))


def press(page: Page, *keys: str) -> Look:
    page.focus("[role=slider]")
    for key in keys:
        page.keyboard.press(key)
    return look(page)


def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> Look:
    """With the mouse, between places given as shares of the screen."""
    x, y, width, height = look(page).screen
    (from_x, from_y), (to_x, to_y) = ((x + across * width, y + down * height) for across, down in (begin, end))
    page.mouse.move(from_x, from_y)
    page.mouse.down()
    page.mouse.move(to_x, to_y)
    page.mouse.up()
    return look(page)


def test_at_one_to_one_the_screen_shows_the_pixels(
    open_viewer: Any, pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]
) -> None:
    page = open_viewer(zoom="one")
    seen = look(page)

    assert (seen.zoom, seen.share, seen.rendering) == ("100 %", 50, "auto")
    assert seen.box[2:] == [WIDTH, HEIGHT]
    left, top = (round(begin + offset) for begin, offset in zip(seen.screen[:2], seen.box[:2], strict=True))
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())))[top : top + HEIGHT, left : left + WIDTH, :3]
    before, after = slice(10, WIDTH // 2 - 40), slice(WIDTH // 2 + 40, WIDTH - 10)
    rows = slice(60, HEIGHT - 10)  # Below the words.
    assert np.array_equal(shot[rows, before], pair[0][rows, before])
    assert np.array_equal(shot[rows, after], pair[1][rows, after])


def test_a_pixel_is_one_of_the_screen_however_dense_that_is(open_viewer: Any) -> None:
    seen = look(open_viewer(zoom="one", device_scale_factor=2))

    assert seen.zoom == "100 %"
    assert seen.box[2:] == [WIDTH / 2, HEIGHT / 2]


def test_a_small_picture_is_fitted_by_whole_pixels_and_a_large_one_to_the_width(open_viewer: Any) -> None:
    assert look(open_viewer()).zoom == "100 %"
    narrow = look(open_viewer(width=240))
    assert narrow.box == pytest.approx([0, 0, 240, 160], abs=0.5)
    assert narrow.screen[3] == pytest.approx(160, abs=0.5)


def test_the_keyboard_does_it_all(open_viewer: Any) -> None:
    page = open_viewer()
    assert press(page, "ArrowLeft", "ArrowLeft").share == 46
    assert press(page, "PageUp").share == 56
    press(page, "End")
    expect(page.locator("[role=slider]")).to_have_attribute("aria-valuetext", "100 % before")
    near = press(page, "Home", *["+"] * 8)
    assert (near.share, near.zoom, near.rendering) == (0, "596 %", "pixelated")
    moved = press(page, "Shift+ArrowRight", "Shift+ArrowUp")
    assert moved.box[0] == pytest.approx(near.box[0] - 0.15 * near.screen[2], abs=1)
    assert moved.box[1] == pytest.approx(near.box[1] + 0.15 * near.screen[3], abs=1)
    assert press(page, *["Shift+ArrowLeft"] * 20).box[0] == pytest.approx(0, abs=0.5), "It stops at the picture's edge."
    assert press(page, "-").zoom == "477 %"
    assert press(page, "1").zoom == "100 %"
    expect(page.get_by_role("button", name="1:1")).to_have_attribute("aria-pressed", "true")
    assert press(page, "+", "0").zoom == "100 %"


def test_the_mouse_divides_moves_and_zooms_where_it_points(open_viewer: Any) -> None:
    page = open_viewer()
    fitted = drag(page, (0.5, 0.5), (0.35, 0.9))
    assert fitted.share == pytest.approx(100 * (0.35 * fitted.screen[2] - fitted.box[0]) / fitted.box[2], abs=1)

    x, y, width, height = fitted.screen
    wide = press(page, *["+"] * 4)
    page.mouse.move(x + 0.3 * width, y + 0.6 * height)
    for _ in range(4):
        page.mouse.wheel(0, -120)
    page.wait_for_function("() => parseInt(document.querySelector('[data-zoom]').textContent) > 700")
    near = look(page)
    for axis, at in enumerate((0.3 * width, 0.6 * height)):
        before, after = ((at - seen.box[axis]) / seen.box[axis + 2] for seen in (wide, near))
        assert after == pytest.approx(before, abs=0.005)

    moved = drag(page, (0.1, 0.5), (0.2, 0.6))
    assert moved.share == near.share
    assert moved.box[0] == pytest.approx(near.box[0] + 0.1 * width, abs=1)
    assert moved.box[1] == pytest.approx(near.box[1] + 0.1 * height, abs=1)
    page.get_by_role("button", name="Fit").click()
    assert look(page).box == fitted.box
    page.mouse.dblclick(x + 0.5 * width, y + 0.2 * height)
    assert look(page).zoom == "100 %"


def test_two_fingers_zoom_and_one_moves(open_viewer: Any) -> None:
    page = open_viewer(has_touch=True)
    touch = page.context.new_cdp_session(page)
    x, y, width, height = look(page).screen
    middle = x + width / 2, y + height / 2

    def gesture(*moves: list[tuple[float, float]]) -> None:
        for turn, fingers in enumerate(moves):
            points = [{"id": id_, "x": middle[0] + dx, "y": middle[1] + dy} for id_, (dx, dy) in enumerate(fingers)]
            touch.send(
                "Input.dispatchTouchEvent", {"type": "touchMove" if turn else "touchStart", "touchPoints": points}
            )
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    gesture(*[[(-30.0 - 10 * step, 0.0), (30.0 + 10 * step, 0.0)] for step in range(7)])
    near = look(page)
    assert 250 <= int(near.zoom.split()[0]) <= 300
    gesture(*[[(90.0 - 10 * step, 50.0 - 10 * step)] for step in range(6)])
    moved = look(page)
    assert moved.zoom == near.zoom
    assert moved.box[0] < near.box[0] - 20
    assert moved.box[1] < near.box[1] - 20


def test_another_blend_is_seen_at_the_same_place_and_another_photo_anew(open_viewer: Any) -> None:
    page = open_viewer()
    near = press(page, "+", "+", "+", "+", "Shift+ArrowLeft")
    page.evaluate("show({ before: 'before.png', after: 'before.png', zoom: 'fit' })")
    assert look(page) == near
    page.evaluate("show({ before: 'after.png', after: 'before.png', zoom: 'fit' })")
    expect(page.locator("[data-zoom]")).to_have_text("100 %")
    page.evaluate("show({ before: 'gone.png', after: 'gone.png', zoom: 'fit' })")
    expect(page.get_by_role("alert")).to_contain_text("could not be shown")
    page.evaluate("show(null)")
    expect(page.locator(".hub-viewer")).to_be_hidden()
