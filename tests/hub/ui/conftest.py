"""A real browser, Debian's Chromium driven by Playwright, that reports what a page asks for and complains about.

Also clips to restore.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from hub.ui import scenes
from hub.ui.examples import camera_noise, to_srgb

from ...browser import open_chromium

MILLISECONDS = 60_000  # For whatever a page does at once, on a machine that is busy with something else.
expect.set_options(timeout=MILLISECONDS)

OpenPage = Callable[..., Page]

FRAMES, RATE, SIZE = 24, 12, (96, 128)


@pytest.fixture(scope="session")
def noisy_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 x 96 pixels, 24 frames in 2 seconds, H.264 with AAC: noise over a grey that grows by 8 each frame."""
    path = tmp_path_factory.mktemp("clip") / "noisy.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "10", "preset": "ultrafast"})
        video.height, video.width = SIZE
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(FRAMES):
            pixels = random.normal(24 + 8 * number, 10, (*SIZE, 3)).clip(0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        wave = np.sin(np.arange(48_000 * FRAMES // RATE) * 2 * np.pi * 440 / 48_000).astype(np.float32)
        for begin in range(0, wave.size, 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, begin
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.fixture(scope="session")
def night_walk(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A slow pan over a street at night, as a camera sees it in too little light: 2 seconds, H.264 with sound."""
    width, height = (480, 270) if pytestconfig.getoption("screenshots") else (256, 144)
    path = tmp_path_factory.mktemp("clip") / "night-walk.mp4"
    scene = cv2.resize(scenes.night_street(), (width * 3 // 2, width), interpolation=cv2.INTER_AREA)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(RATE), "-i", "-", "-f", "lavfi", "-i", "sine=220", "-shortest"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        for number in range(FRAMES):
            left, top = round(number / FRAMES * width / 2), round(number / FRAMES * (width - height))
            frame = camera_noise(scene[top : top + height, left : left + width], 60.0, 0.012, seed=number)
            encoder.stdin.write(to_srgb(frame).tobytes())
    assert encoder.returncode == 0
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module only; see `open_chromium`."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor: what a page stores is there when the next page opens, and gone after the test."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(MILLISECONDS)
        yield context


@pytest.fixture
def open_page(context: BrowserContext) -> Iterator[OpenPage]:
    """Opens the hub's page and waits until it can be used; in the end fails if a page complained or asked elsewhere.

    quiet=False: the test takes the server away, so the console may complain about that. visitor: another one than the
    test's own.
    """
    complaints: list[str] = []
    foreign: list[str] = []

    def open_page(address: str, *, quiet: bool = True, visitor: BrowserContext | None = None) -> Page:
        page = (visitor or context).new_page()

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
        expect(page.locator(".hub-picker:visible")).to_be_visible()
        expect(page.locator(".hub-run:visible")).to_be_visible()
        return page

    yield open_page
    assert complaints == []
    assert foreign == []
