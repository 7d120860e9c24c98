"""The video tab as people use it: a real browser on the real program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import Page, Route, expect

from ...browser import unnamed_controls

FRAMES, RATE = 24, 12
SLOW = 120_000  # milliseconds: the first run loads torch and the model on a busy machine
CLIPS = """() => [...document.querySelectorAll("#video-player video")].map((clip) => ({
  time: clip.currentTime, ready: clip.readyState, width: clip.videoWidth, paused: clip.paused, error: clip.error?.code,
}))"""
# The grey of each clip's picture; of the test's clip it tells the number of the frame.
GREYS = """() => [...document.querySelectorAll("#video-player video")].map((clip) => {
  const canvas = new OffscreenCanvas(128, 96);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(clip, 0, 0);
  const bytes = context.getImageData(0, 0, 128, 96).data;
  return bytes.reduce((sum, byte, place) => sum + (place % 4 === 1 ? byte : 0), 0) / (128 * 96);
})"""


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Video").click()
    expect(page.locator("#video-run")).to_be_visible()


def choose(page: Page, path: Path) -> None:
    page.set_input_files("#video-picker .hub-picker-input", path)
    expect(page.locator("#video-picker .hub-picker-name")).to_have_text(path.name)


def choose_while_another_is_opened(page: Page, first: Path, second: Path) -> None:
    """The hub's answer to the first is held back until the second has been sent."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if not held and '"asked"' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/gradio_api/queue/join*", hold)
    page.set_input_files("#video-picker .hub-picker-input", first)
    while not held:
        page.wait_for_timeout(50)
    with page.expect_response("**/gradio_api/upload*"):
        page.set_input_files("#video-picker .hub-picker-input", second)
    held[0].continue_()
    expect(page.locator("#video-picker .hub-picker-name")).to_have_text(second.name)
    expect(page.locator("#video-picker [data-busy]")).to_have_text("")
    page.unroute("**/gradio_api/queue/join*")


def frames(page: Page) -> list[int]:
    """Which frame of the test's clip each of the two shows."""
    return [round((grey - 24) / 8) for grey in page.evaluate(GREYS)]


def wait_for_frame(page: Page, number: int) -> None:
    page.wait_for_function(f"() => ({GREYS})().every((grey) => Math.round((grey - 24) / 8) === {number})")


def check_playing(page: Page) -> None:
    """It plays to its end, with both within a frame of each other."""
    page.click("#video-player [data-do=play]")
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.time > 0.1 && !clip.paused)")
    while not (clips := page.evaluate(CLIPS))[1]["paused"]:
        assert [clip["error"] for clip in clips] == [None, None]
        assert abs(clips[0]["time"] - clips[1]["time"]) < 1 / RATE
    assert min(clip["time"] for clip in clips) > (FRAMES - 1.5) / RATE
    assert frames(page) == [FRAMES - 1, FRAMES - 1]


def check_controls(page: Page) -> None:
    """Frame by frame, by keyboard, by the bar, one over the other."""
    page.focus("#video-player .hub-player")
    page.keyboard.press("Home")
    wait_for_frame(page, 0)
    for number in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        wait_for_frame(page, number)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    wait_for_frame(page, 7)
    page.keyboard.press("ArrowLeft")
    wait_for_frame(page, 6)
    page.locator("#video-player [data-seek]").fill("1.45")
    wait_for_frame(page, 17)
    expect(page.locator("#video-player [data-time]")).to_have_text("0:01.4 / 0:02.0")
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.time > 0.3)")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.paused && clip.time === ({CLIPS})()[0].time)")
    assert len(set(frames(page))) == 1
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => !clip.paused)")
    page.get_by_role("tab", name="Photo").click()
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.paused)")
    open_tab(page)
    page.focus("#video-player .hub-player")
    page.keyboard.press("m")
    expect(page.locator("#video-player [data-do=mute]")).to_have_accessible_name("Unmute")
    page.click("#video-player [data-do=view]")
    boxes = [page.locator(f"#video-player [data-clip={name}]").bounding_box() for name in ("before", "after")]
    assert boxes[0] == boxes[1]
    page.click("#video-player [data-do=view]")


def check_phone(page: Page) -> None:
    """Nothing is cut off at a phone's width, one clip is above the other, and every control has a name."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    before, after = (page.locator(f"#video-player [data-clip={name}]").bounding_box() for name in ("before", "after"))
    assert before is not None
    assert after is not None
    assert after["y"] >= before["y"] + before["height"]
    assert unnamed_controls(page) == []
    page.set_viewport_size({"width": 1280, "height": 900})


def check_trim(page: Page) -> None:
    """The shown frame becomes the first or the last one, a part without any is refused, and one button undoes it."""
    chosen = page.locator("#video-range")
    shown = page.locator("#video-second input[type=number]")
    for second, button, words in (
        ("0.5", "#video-start-here", "0:00.50"),
        ("1", "#video-end-here", "0:01.08"),
        ("1.5", "#video-start-here", "Nothing is left"),
    ):
        shown.fill(second)
        shown.press("Enter")
        page.click(button)
        expect(chosen).to_contain_text(words)
    page.click("#video-whole")
    expect(chosen).to_contain_text("The whole clip")
    expect(page.locator("#video-forecast")).to_contain_text("The result has", timeout=SLOW)


def check_activity(page: Page) -> None:
    """Chosen from the list of all that was sent, it is seen again on its own tab."""
    page.get_by_role("tab", name="Activity").click()
    lines = page.locator("#activity-jobs .hub-entry")
    expect(lines).to_have_count(2)
    lines.filter(has_text="Done").locator("[data-do=show]").click()
    expect(page.locator("#video-download .hub-download")).to_be_visible()
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.ready === 4 && clip.width === 128)")


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.get({kind: 0})) if packet.size]


def test_a_clip_from_choosing_to_downloading(
    make_server: Callable[..., Any], open_page: Callable[..., Page], noisy_clip: Path, tmp_path: Path
) -> None:
    """Preview, progress, playing in step, download; the page may be closed meanwhile, and another run cancelled."""
    server = make_server()
    server.start()
    page = open_page(server.address)
    open_tab(page)
    page.click("#video-run")
    expect(page.locator("#video-picker .hub-alert")).to_contain_text("Choose a clip first")
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear hub", "utf-8")
    page.set_input_files("#video-picker .hub-picker-input", letter)
    expect(page.locator("#video-picker .hub-alert")).to_contain_text(re.compile("not a video|not a clip"))

    strange = tmp_path / "${document.title='hacked'}.mp4"
    shutil.copy(noisy_clip, strange)
    choose_while_another_is_opened(page, strange, noisy_clip)
    expect(page).to_have_title("Uformer Hub")
    expect(page.locator("#video-picker .hub-picker-caption")).to_contain_text("2.0 s · 12 fps · H.264 · with sound")
    page.click("#video-look")
    expect(page.locator("#video-preview-stage")).to_contain_text("The frame at 0.19 s", timeout=SLOW)
    pictures = page.locator("#video-compare img")
    expect(pictures).to_have_count(2)
    assert pictures.evaluate_all("images => Promise.all(images.map((image) => image.decode().then(() => image.width)))")

    page.click("#video-run")
    expect(page.locator("#video-preview")).to_be_hidden()
    expect(page.locator("#video-stage [role=progressbar]")).to_be_visible()
    expect(page.locator("#video-stage .hub-numbers")).to_contain_text("%", timeout=SLOW)
    page.wait_for_function(
        "() => document.querySelector('#video-stage .hub-latest img')?.naturalWidth"
        " || document.querySelector('#video-download .hub-download')",
        timeout=SLOW,
    )
    page.close()
    page = open_page(server.address)
    download = page.locator("#video-download .hub-download")
    expect(download).to_be_visible(timeout=SLOW)
    expect(page.locator("#video-stage .hub-facts")).to_contain_text("128 \u00d7 96 · 24 frames · H.264")
    page.wait_for_function(f"() => ({CLIPS})().every((clip) => clip.ready === 4 && clip.width === 128)")
    check_playing(page)
    check_controls(page)
    check_phone(page)

    with page.expect_download() as waiting:
        download.click()
    assert waiting.value.suggested_filename == "noisy-restored.mp4"
    saved = tmp_path / "saved.mp4"
    waiting.value.save_as(saved)
    assert packets(saved, "audio") == packets(noisy_clip, "audio")
    with av.open(str(saved)) as container:
        pictures_saved = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures_saved) == FRAMES
    assert np.std(pictures_saved[12]) < 5

    choose(page, noisy_clip)
    check_trim(page)
    page.click("#video-run")
    page.click("#video-cancel")
    expect(page.locator("#video-stage .hub-quiet")).to_contain_text("Cancelled", timeout=SLOW)
    check_activity(page)
