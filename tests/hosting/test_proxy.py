"""The hub behind the guide's nginx, under /restore/: page, API, results, events, live socket."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import BrowserContext, FilePayload, expect
from websockets.sync.client import connect

from hub.client import HubClient

from .conftest import RATE, Proxy

SLOW = 120_000  # milliseconds: the first run loads the model on a busy machine


def noise(width: int, height: int, kind: str = "PNG") -> bytes:
    """A picture that hardly compresses."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


SMALL: FilePayload = {"name": "small.png", "mimeType": "image/png", "buffer": noise(160, 120)}


def frame_url() -> str:
    return "data:image/jpeg;base64," + base64.b64encode(noise(128, 128, "JPEG")).decode()


def assert_frame(answer: str) -> None:
    assert answer.startswith("data:image/jpeg;base64,"), answer
    with Image.open(io.BytesIO(base64.b64decode(answer.partition(",")[2]))) as frame:
        assert frame.size == (128, 128)


def test_the_page_restores_photos_and_the_camera(proxy: Proxy, visitor: BrowserContext, complaints: list[str]) -> None:
    """All that it asks for lies below the sub-path, as the fixture sees to."""
    page = visitor.new_page()
    page.goto(f"{proxy.address}/")
    page.set_input_files("#photo-picker .hub-picker-input", SMALL)
    expect(page.locator("#photo-picker .hub-picker-name")).to_have_text("small.png")
    page.click("#photo-run")
    download = page.locator("#photo-download .hub-download")
    expect(download).to_be_visible(timeout=SLOW)

    file = page.request.get(f"{proxy.address}/{download.get_attribute('href')}")
    assert file.ok
    with Image.open(io.BytesIO(file.body())) as restored:
        assert restored.size == (160, 120)

    sockets: list[str] = []
    page.on("websocket", lambda opened: sockets.append(opened.url))
    visitor.grant_permissions(["camera"], origin=proxy.origin)
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start camera").click()
    expect(page.locator("[data-figure=rate]")).to_have_text(re.compile(r"^\d+\.\d$"), timeout=SLOW)
    assert sockets == [f"{proxy.address.replace('https', 'wss', 1)}/ws/process_video"]
    page.get_by_role("tab", name="Photo").click()
    page.close()

    again = visitor.new_page()
    again.goto(f"{proxy.address}/")
    expect(again.locator("#photo-download .hub-download")).to_be_visible()
    again.close()


def test_all_that_the_page_shows_comes_through(
    proxy: Proxy, visitor: BrowserContext, complaints: list[str], make_clip: Callable[..., Path]
) -> None:
    """Several photos and the file that holds them all, a clip that plays, and their pictures among the activity."""
    page = visitor.new_page()
    page.goto(f"{proxy.address}/")
    page.set_input_files("#photo-picker .hub-picker-input", [SMALL, {**SMALL, "name": "other.png"}])
    expect(page.locator("#photo-picker .hub-picker-many li")).to_have_count(2)
    page.click("#photo-run")
    strip = page.locator("#photo-strip")
    expect(strip.locator("[data-title]")).to_have_text("2 of 2 photos restored", timeout=SLOW)
    with page.expect_download() as waiting:
        strip.locator("[data-download]").click()
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.namelist() == ["small-restored.png", "other-restored.png"]

    page.get_by_role("tab", name="Video").click()
    page.set_input_files("#video-picker .hub-picker-input", make_clip(frames=6))
    expect(page.locator("#video-picker .hub-picker-name")).to_have_text("clip.mp4")
    page.click("#video-run")
    expect(page.locator("#video-download .hub-download")).to_be_visible(timeout=SLOW)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#video-player video')].filter((clip) => clip.readyState > 1).length == 2"
    )

    page.get_by_role("tab", name="Activity").click()
    entries = page.locator("#activity-jobs .hub-entry")
    expect(entries.first).to_contain_text("clip.mp4")
    expect(entries.locator("img").nth(2)).to_be_visible()
    assert entries.locator("img").evaluate_all(
        "images => Promise.all(images.slice(0, 3).map((image) => image.decode().then(() => image.naturalWidth > 0)))"
    ) == [True, True, True]
    page.get_by_role("tab", name="Photo").click()  # On which the next page of this visitor opens.
    page.close()


def test_a_program_that_speaks_gradio(proxy: Proxy, tmp_path: Path) -> None:
    photo = tmp_path / "small.png"
    photo.write_bytes(SMALL["buffer"])
    client = Client(f"{proxy.address}/", ssl_verify=False, verbose=False, download_files=tmp_path / "saved")

    with Image.open(client.predict(handle_file(photo), api_name="/denoise")) as restored:
        assert restored.size == (160, 120)


def test_the_page_in_a_frame_of_another_site(proxy: Proxy, visitor: BrowserContext) -> None:
    """Where Chromium, without a window as with a private one, keeps storage from it."""
    page = visitor.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content(f'<iframe src="{proxy.address}/" width="1200" height="800"></iframe>')
    frame = page.frame_locator("iframe")
    expect(frame.locator("[data-example=still-life] img")).to_be_visible()
    frame.locator("#photo-picker .hub-picker-input").set_input_files(SMALL)
    expect(frame.locator("#photo-picker .hub-picker-name")).to_have_text("small.png")
    assert errors == []
    page.close()


def test_the_documentation(proxy: Proxy, visitor: BrowserContext, complaints: list[str]) -> None:
    page = visitor.new_page()
    page.goto(f"{proxy.address}/docs")
    expect(page.get_by_text("/api/process_image", exact=False).first).to_be_visible()
    page.close()


def test_a_program_restores_a_photo(proxy: Proxy, tmp_path: Path) -> None:
    """Larger than the megabyte that nginx lets through by itself."""
    photo = tmp_path / "photo.png"
    photo.write_bytes(noise(640, 640))
    assert photo.stat().st_size > 1_100_000
    states = []
    with HubClient(proxy.address, transport=proxy.transport()) as hub:
        hub.denoise(photo, to=tmp_path / "restored.png", progress=states.append)

    with Image.open(tmp_path / "restored.png") as restored:
        assert restored.size == (640, 640)
    assert states


def test_addresses_stay_below_the_sub_path(proxy: Proxy) -> None:
    with proxy.client() as client:
        files = {"image_file": ("a.png", noise(64, 64))}
        accepted = client.post("api/process_image", files=files)
        assert accepted.status_code == 202
        location = accepted.headers["Location"]
        assert location.startswith("/restore/api/image_status/")
        assert httpx.URL(proxy.origin).join(location) == f"{proxy.origin}{location}"
        deadline = time.monotonic() + SLOW / 1000
        while (status := client.get(f"{proxy.origin}{location}").json())["status"] != "completed":
            assert time.monotonic() < deadline, status
            time.sleep(0.3)
        result = client.get(status["result_path"].lstrip("/"), headers={"Range": "bytes=0-7"})
        assert (result.status_code, result.content) == (206, b"\x89PNG\r\n\x1a\n")

        assert "/restore/docs" in client.get("api/nothing").json()["detail"]
        assert client.get("openapi.json").json()["servers"] == [{"url": "/restore"}]
        assert client.get("metrics").status_code == 403
        moved = client.get(proxy.address)
    assert (moved.status_code, str(moved.url.join(moved.headers["Location"]))) == (308, f"{proxy.address}/")
    moved = httpx.get(f"{proxy.plain}/restore/docs")
    assert (moved.status_code, moved.headers["Location"]) == (301, "https://127.0.0.1/restore/docs")


def test_what_is_too_large_is_refused_in_words(proxy: Proxy) -> None:
    with proxy.client() as client:
        answer = client.post("api/process_image", files={"image_file": ("a.bmp", bytes(12_000_000))})
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "8 MB" in answer.json()["detail"]


def test_events_come_at_once(proxy: Proxy) -> None:
    """The first one is here while the job still runs."""
    with proxy.client() as client:
        files = {"image_file": ("large.jpg", noise(1600, 1200, "JPEG"))}
        task = client.post("api/process_image", files=files).json()["task_id"]
        with client.stream("GET", f"api/tasks/{task}/events") as events:
            assert events.headers["Content-Type"].startswith("text/event-stream")
            first = next(line for line in events.iter_lines() if line.startswith("data:"))
            assert json.loads(first.removeprefix("data:"))["status"] in ("pending", "processing")
            now = httpx.get(f"{proxy.hub.address}/api/image_status/{task}").json()
            assert now["status"] in ("pending", "processing")
        assert client.post(f"api/tasks/{task}/cancel").is_success


def test_live_frames_of_a_program(proxy: Proxy) -> None:
    address = f"{proxy.address.replace('https', 'wss', 1)}/ws/process_video"
    with connect(address, ssl=proxy.trust(), origin=proxy.origin, max_size=None) as socket:  # type: ignore[arg-type]
        for _ in range(3):
            socket.send(json.dumps({"image_b64": frame_url()}))
            assert_frame(str(socket.recv(timeout=60)))


def test_live_frames_of_a_page_elsewhere_are_refused(proxy: Proxy) -> None:
    with proxy.client() as client:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "https://elsewhere.example"}
        assert client.get("ws/process_video", headers=upgrade).status_code == 403


@pytest.mark.parametrize("claim", [None, "198.51.100.{}"], ids=["honest", "inventive"])
def test_each_client_has_its_own_limit(proxy: Proxy, claim: str | None) -> None:
    """By the address that nginx sees, whatever the client says of itself."""
    source = "127.0.0.2" if claim is None else "127.0.0.3"

    def call(client: httpx.Client, number: int) -> int:
        headers = {} if claim is None else {"X-Forwarded-For": claim.format(number)}
        return client.get("api/available_controls", headers=headers).status_code

    with proxy.client(source) as client:
        answers = [call(client, number) for number in range(RATE + 1)]
    assert answers == [200] * RATE + [429]
    with proxy.client("127.0.0.4") as other:
        assert call(other, 0) == 200
    assert f"{source}:" in proxy.hub.log
