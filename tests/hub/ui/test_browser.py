"""The page as people use it: a real browser on the real program."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, Route, expect
from skimage import data

from hub.client import HubClient
from hub.settings import CHECKOUT

from ...browser import unnamed_controls
from ...conftest import SHARED

HAND_OVER = """([content, name, how]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const options = { bubbles: true, cancelable: true };
  if (how === "paste") {
    document.body.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
  } else {
    for (const kind of ["dragenter", "dragover", "drop"])
      document.body.dispatchEvent(new DragEvent(kind, { ...options, dataTransfer: data }));
  }
}"""
GAIN = 6  # decibels
SLOW = 120_000  # milliseconds: the first run loads torch and the model on a busy machine


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """(256, 384, 3) uint8 RGB: part of NASA's portrait of Eileen Collins (public domain)."""
    return np.ascontiguousarray(data.astronaut()[:256, 64:448])


@pytest.fixture(scope="module")
def noisy_portrait(portrait: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`portrait` with Gaussian noise of sigma 25, rounded to 8 bits."""
    noise = np.random.default_rng(0).normal(0, 25, portrait.shape)
    return (portrait + noise).clip(0, 255).round().astype(np.uint8)


def choose(page: Page, path: Path) -> None:
    page.set_input_files("#photo-picker .hub-picker-input", path)
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text(path.name)
    # Until its picture has come, everything around that is elsewhere.
    page.wait_for_function("document.querySelector('#photo-picker .hub-picker-photo img').naturalWidth > 0")


def hand_over(page: Page, content: bytes, name: str, how: str) -> None:
    page.evaluate(HAND_OVER, [base64.b64encode(content).decode(), name, how])


def run(page: Page) -> None:
    page.click("#photo-run")
    expect(page.locator("#photo-download .hub-download")).to_be_visible(timeout=SLOW)


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click("#photo-download .hub-download")
    path = folder / f"{len(list(folder.iterdir()))}-{waiting.value.suggested_filename}"
    waiting.value.save_as(path)
    return path


def pictures(page: Page, viewer: str = "#photo-compare") -> list[NDArray[np.uint8]]:
    """Before and after as the browser gets them."""
    sources = page.eval_on_selector_all(f"{viewer} img", "images => images.map(image => image.src)")
    assert len(sources) == 2
    bodies = [page.request.get(source).body() for source in sources]
    return [np.asarray(Image.open(io.BytesIO(body)).convert("RGB")) for body in bodies]


def set_strength(page: Page, steps: int) -> None:
    """Move the slider of the finished result by that many steps of 0.05, with the keyboard."""
    before = page.get_attribute("#photo-download .hub-download", "href")
    page.focus("#photo-blend input[type=range]")
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
    expect(page.locator("#photo-download .hub-download")).not_to_have_attribute("href", str(before))
    page.wait_for_function(
        """() => Number(new URLSearchParams(document.querySelector("#photo-download .hub-download").search).get("v"))
                 === Number(document.querySelector("#photo-blend input[type=range]").value)""",
        timeout=SLOW,
    )


def pixels(file: Path | bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(file) if isinstance(file, bytes) else file))


def levels(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """The largest difference, in 8-bit levels."""
    return int(np.abs(image.astype(np.int16) - other).max())


def psnr(image: NDArray[np.uint8], clean: NDArray[np.uint8]) -> float:
    """Decibels."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(np.float64) - clean) ** 2)))


@pytest.fixture(scope="module")
def server(shared_server: Any, noisy_portrait: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that keeps the graph for the portrait's tile.

    Until then PyTorch runs such a tile, and single pixels may differ by two levels.
    """
    photo = tmp_path_factory.mktemp("warm") / "portrait.png"
    Image.fromarray(noisy_portrait).save(photo)
    with HubClient(shared_server.address) as hub:
        hub.denoise(photo, to=photo.with_name("restored.png"))
    height, width = (-(-side // 128) * 128 for side in noisy_portrait.shape[:2])
    deadline = time.monotonic() + SLOW / 1000
    while not list(Path(os.environ[SHARED]).glob(f"*-{height}x{width}.blob")):
        assert time.monotonic() < deadline, "The graph was not compiled."
        time.sleep(0.2)
    return shared_server


def by_command_line(data_dir: Path, photo: Path, restored: Path) -> NDArray[np.uint8]:
    """Restore with the command line's defaults."""
    command = [sys.executable, "-m", "hub", "restore", str(photo), "-o", str(restored)]
    environment = {**os.environ, "HUB_DATA_DIR": str(data_dir)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return pixels(restored)


def by_program(page: Page, photo: Path) -> list[NDArray[np.uint8]]:
    """Restore as the page says that a program would, by each of the calls that it gives to copy.

    One is copied as on a page of https, the other as on any other.
    """
    results = []
    page.click("#photo-snippet summary")
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    for language, interpreter in (("curl", ["bash", "-e"]), ("python", [sys.executable, "-"])):
        page.evaluate("() => { window.copied = ''; }")
        page.click(f"#photo-snippet [data-copy={language}]")
        page.wait_for_function("() => window.copied")
        folder = photo.parent / language
        folder.mkdir()
        shutil.copy(photo, folder)
        done = subprocess.run(
            interpreter,
            input=page.evaluate("() => window.copied"),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results.append(pixels(folder / f"{photo.stem}-restored.png"))
        page.evaluate("""() => {
          Object.defineProperty(window, "isSecureContext", { value: false });
          document.execCommand = () => { window.copied = document.activeElement.value; return true; };
        }""")
    return results


def test_a_photo_from_choosing_to_downloading(
    server: Any,
    open_page: Callable[..., Page],
    portrait: NDArray[np.uint8],
    noisy_portrait: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    photo = tmp_path / "her 'portrait', $HOME; ä.png"
    Image.fromarray(noisy_portrait).save(photo)
    page = open_page(server.address)

    choose(page, photo)
    expect(page.locator("#photo-picker .hub-picker-caption")).to_contain_text("384 \u00d7 256 · PNG · 8-bit")
    run(page)
    expect(page.locator("#photo-strip .hub-strip")).to_be_hidden()
    before, after = pictures(page)
    assert np.array_equal(before, noisy_portrait)
    assert psnr(after, portrait) >= psnr(noisy_portrait, portrait) + GAIN
    saved = download(page, folder)
    assert saved.name == f"0-{photo.stem}-restored.png"
    assert np.array_equal(pixels(saved), after)
    page.focus("#photo-compare [role=slider]")
    for key in ("1", "+", "Shift+ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#photo-compare [role=slider]")).to_have_attribute("aria-valuetext", "48 % before")
    expect(page.locator("#photo-compare [data-zoom]")).to_have_text("125 %")
    same = *by_program(page, photo), by_command_line(server.data_dir, photo, folder / "restored.png")
    assert max(levels(other, after) for other in same) <= 1

    uploads = list((server.data_dir / "uploads").iterdir())
    set_strength(page, -10)
    half = pictures(page)[1]
    expect(page.locator("#photo-compare [data-zoom]")).to_have_text("125 %")  # One goes on looking where one was.
    assert np.abs(half - (noisy_portrait.astype(float) + after) / 2).max() <= 1
    assert np.array_equal(pixels(download(page, folder)), half)
    expect(page.locator("#photo-snippet [data-code=python]")).to_contain_text("strength=0.5,")
    set_strength(page, -10)
    assert np.array_equal(pictures(page)[1], noisy_portrait)
    assert list((server.data_dir / "uploads").iterdir()) == uploads, "It was run again."

    page.reload()
    expect(page.locator("#photo-download .hub-download")).to_be_visible()
    assert np.array_equal(pictures(page)[1], noisy_portrait)
    expect(page.locator("#photo-blend input[type=range]")).to_have_value("0")


def test_several_photos_at_once(
    server: Any, open_page: Callable[..., Page], noisy_photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Added, taken out, run, looked at one by one, found again after a reload, and downloaded together."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear hub", "utf-8")
    photos = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]
    for turn, path in enumerate(photos):
        Image.fromarray(np.rot90(noisy_photo, turn)).save(path)
    page = open_page(server.address)
    items = page.locator("#photo-picker .hub-picker-many li")

    page.set_input_files("#photo-picker .hub-picker-input", [photos[0], letter, photos[1], photos[2]])
    expect(items).to_have_count(3)
    expect(page.locator("#photo-picker .hub-alert")).to_contain_text("letter.txt: This file is not a photo")
    hand_over(page, photos[3].read_bytes(), photos[3].name, "drop")
    expect(items).to_have_count(4)
    hand_over(page, photos[1].read_bytes(), photos[1].name, "drop")
    expect(items).to_have_count(5)
    # Faster than the hub answers.
    page.evaluate(
        "[...document.querySelectorAll('#photo-picker [data-remove]')].filter((_, at) => at % 3 == 1)"
        ".forEach((button) => button.click())"
    )
    expect(items).to_have_count(3)
    expect(page.locator("#photo-picker .hub-picker-count")).to_have_text("3 photos")

    page.click("#photo-run")
    strip = page.locator("#photo-strip")
    expect(strip.locator("[data-title]")).to_have_text("3 of 3 photos restored", timeout=SLOW)
    expect(page.locator("#photo-stage h3")).to_have_text("a.png")
    assert strip.locator("img").evaluate_all(
        "images => Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth > 0)))"
    ) == [True, True, True]

    page.reload()
    strip.locator("button[data-place='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#photo-stage h3")).to_have_text("c.png")
    expect(strip.locator("[aria-current]")).to_contain_text("c.png")
    expect(page.locator("#photo-download .hub-download")).to_be_visible()
    assert np.array_equal(pictures(page)[0], np.rot90(noisy_photo, 2))
    with page.expect_download() as waiting:
        strip.locator("[data-download]").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{path.stem}-restored.png" for path in photos if path.name != "b.png"]
        assert np.array_equal(pixels(archive.read("c-restored.png")), pictures(page)[1])


def test_a_part_of_a_large_photo_before_its_run(
    server: Any, open_page: Callable[..., Page], noisy_photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    large = np.ascontiguousarray(np.tile(noisy_photo, (9, 8, 1))[:900, :1300])
    Image.fromarray(large).save(tmp_path / "large.png")
    page = open_page(server.address)
    choose(page, tmp_path / "large.png")

    frame = page.locator("#photo-picker [data-frame]")
    expect(frame).to_have_accessible_name(re.compile("at 384, 192"))
    frame.focus()
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(frame).to_have_accessible_name(re.compile("at 576, 128"))
    view, box = page.locator("#photo-picker .hub-picker-view").bounding_box(), frame.bounding_box()
    assert view is not None
    assert box is not None
    assert (box["x"] - view["x"]) / view["width"] == pytest.approx(576 / 1300, abs=0.01)
    assert box["height"] / view["height"] == pytest.approx(512 / 900, abs=0.02)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(view["x"] + 1, view["y"] + 1)
    page.mouse.up()
    expect(frame).to_have_accessible_name(re.compile("at 0, 0"))

    page.click("#photo-picker [data-look]")
    expect(page.locator("#photo-preview-stage")).to_contain_text("512 \u00d7 512 pixels at 0, 0", timeout=SLOW)
    before, after = pictures(page, "#photo-preview-compare")
    assert np.array_equal(before, large[:512, :512])
    assert after.std() < before.std()
    expect(page.locator("#photo-preview-compare [data-zoom]")).to_have_text("100 %")


def test_originals_arrive_untouched(
    server: Any, open_page: Callable[..., Page], noisy_photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Pasted and dropped files reach the hub byte for byte, also those that no browser can show."""
    deep = cv2.imencode(".png", noisy_photo[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    scan = cv2.imencode(".tiff", noisy_photo[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    page = open_page(server.address)

    for content, name, how in ((deep, "deep.png", "paste"), (scan, "scan.tif", "drop")):
        hand_over(page, content, name, how)
        expect(page.locator("#photo-picker .hub-picker-name")).to_have_text(name)
        expect(page.locator("#photo-picker .hub-picker-caption")).to_contain_text("16-bit")
        assert page.eval_on_selector(
            "#photo-picker .hub-picker-photo img", "image => image.decode().then(() => image.naturalWidth)"
        )
        run(page)
        expect(page.locator("#photo-stage h3")).to_have_text(name)
        stored = [path.read_bytes() for path in (server.data_dir / "uploads").rglob("*") if path.is_file()]
        assert content in stored
        result = cv2.imread(str(download(page, tmp_path)), cv2.IMREAD_UNCHANGED)
        assert result is not None
        assert result.dtype == np.uint16


def check_phone(page: Page) -> None:
    """Nothing is cut off at a phone's width, and every control has a name."""
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator(".hub-main:visible")).to_be_visible()
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    main, side = (page.locator(name).bounding_box() for name in (".hub-main:visible", ".hub-side:visible"))
    assert main is not None
    assert side is not None
    assert main["y"] >= side["y"] + side["height"]
    assert unnamed_controls(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def hold_uploads(page: Page) -> list[Route]:
    """Where uploads wait from now on."""
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no method of a list.
        held.append(route)

    page.route("**/gradio_api/upload", hold)
    return held


def test_it_fits_a_phone_and_explains_mistakes(
    make_server: Callable[..., Any], open_page: Callable[..., Page], noisy_png: Path, tmp_path: Path
) -> None:
    server = make_server(max_upload_mb="1")
    server.start()
    page = open_page(server.address)
    alert = page.locator("#photo-picker .hub-alert")
    check_phone(page)

    page.set_viewport_size({"width": 390, "height": 500})
    page.click("#photo-run")
    expect(alert).to_contain_text("Choose a photo first")
    expect(alert).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 900})
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear hub", "utf-8")
    page.set_input_files("#photo-picker .hub-picker-input", letter)
    expect(alert).to_contain_text("not a photo")
    huge = tmp_path / "huge.bmp"
    huge.write_bytes(bytes(1_200_000))
    page.set_input_files("#photo-picker .hub-picker-input", huge)
    expect(alert).to_contain_text("This file has 2 MB, and at most 1 MB are accepted.")

    choose(page, noisy_png)
    expect(alert).to_be_hidden()
    page.click("#photo-task label:has-text('Deblur')")
    expect(page.locator("#photo-model-note")).to_contain_text("python -m hub fetch deblur_b")
    expect(page.locator("#photo-model input")).to_have_value(re.compile("not installed"))
    page.click("#photo-run")
    expect(page.locator("#photo-stage .hub-problem")).to_contain_text("python -m hub fetch deblur_b")
    page.click("#photo-task label:has-text('Denoise')")
    expect(page.locator("#photo-model-note")).not_to_contain_text("fetch")
    # Pressed while the photo is on its way, the button takes effect when it has come.
    held = hold_uploads(page)
    page.set_input_files("#photo-picker .hub-picker-input", noisy_png)
    expect(page.locator("#photo-picker [data-busy]")).to_contain_text("Uploading")
    page.click("#photo-run")
    expect(page.locator("#photo-picker [data-then]")).to_contain_text("as soon as it is here")
    held.pop().continue_()
    expect(page.locator("#photo-download .hub-download")).to_be_visible(timeout=SLOW)
    check_lost_upload(open_page(server.address, quiet=False), noisy_png)


def check_lost_upload(page: Page, photo: Path) -> None:
    """Whoever leaves while a file is on its way is asked; when it is lost, what came earlier is not run instead."""
    choose(page, photo)
    page.evaluate("""() => {
      window.runs = 0;
      document.getElementById("photo-run").addEventListener("click", () => { window.runs += 1; });
    }""")
    held = hold_uploads(page)
    page.set_input_files("#photo-picker .hub-picker-input", photo)
    page.click("#photo-run")
    expect(page.locator("#photo-picker [data-then]")).to_contain_text("as soon as it is here")
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    held.pop().abort()
    expect(page.locator("#photo-picker .hub-alert")).to_contain_text("The upload did not arrive.")
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text(photo.name)
    assert page.evaluate("window.runs") == 0


def test_the_work_goes_on_without_the_page(
    make_server: Callable[..., Any], open_page: Callable[..., Page], noisy_png: Path
) -> None:
    """Closed tab, cancelled run, killed server: the job lives in the hub and the page finds it again.

    On the way the visitor asks for one thing too many, and is told so.
    """
    server = make_server(rate_limit="3/hour")
    server.start()
    page = open_page(server.address, quiet=False)
    page.click("[data-example=still-life]")
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text("still-life.png")
    expect(page.locator("#photo-cancel")).to_be_visible()
    page.click("#photo-cancel")
    expect(page.locator("#photo-stage .hub-quiet")).to_contain_text("Cancelled", timeout=SLOW)

    choose(page, noisy_png)
    page.click("#photo-run")
    expect(page.locator("#photo-stage h3")).to_have_text(noisy_png.name)
    page.set_input_files("#photo-picker .hub-picker-input", noisy_png)
    expect(page.locator("#photo-picker .hub-alert")).to_contain_text(
        "more than is answered in so short a time. Please try"
    )
    server.kill()
    server.start()
    expect(page.locator("#photo-download .hub-download")).to_be_visible(timeout=SLOW)

    page.click("[data-example=mountain-lake]")
    expect(page.locator("#photo-stage h3")).to_have_text("mountain-lake.png")
    expect(page.locator("#photo-stage [role=progressbar]")).to_be_visible()
    page.close()
    page = open_page(server.address, quiet=False)
    expect(page.locator("#photo-stage h3")).to_have_text("mountain-lake.png")
