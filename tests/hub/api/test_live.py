"""The live socket as pages and programs use it, and as somebody might try to break it."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.testclient import WebSocketTestSession

from .frames import ADDRESS, ask, error_of, picture, shown, url

OpenClient = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="module")
def session(client: TestClient) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(ADDRESS) as session:
        yield session


def test_a_page_sends_frame_after_frame(session: WebSocketTestSession) -> None:
    """What a page of the reference hub sends, and its way of telling pictures from errors."""
    for task, patches, fps in (("denoise", True, False), ("denoise", False, True)):
        message = {
            "image_b64": url(picture()),
            "task_type": task,
            "model_name": "denoise_16",
            "use_patch_processing": patches,
            "show_fps": fps,
        }
        answer = ask(session, message)
        assert answer.startswith("data:image/jpeg;base64,")
        assert shown(answer).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_everything_but_the_picture_may_be_left_out(session: WebSocketTestSession, kind: str) -> None:
    data = picture(kind=kind.upper())
    for text in (url(data, kind), base64.b64encode(data).decode()):
        assert abs(int(shown(ask(session, {"image_b64": text})).mean()) - 100) < 8


def test_the_rate_is_shown_when_asked_for(session: WebSocketTestSession) -> None:
    plain, marked = (
        shown(ask(session, {"image_b64": url(picture(120, 100)), "show_fps": fps})).astype(int) for fps in (False, True)
    )
    assert np.abs(plain - 100).max() < 30
    assert np.abs(marked - 100).max() > 90


WRONG = {
    "no JSON": ("hello", "invalid_message"),
    "JSON of another kind": ("[1, 2]", "invalid_message"),
    "deeply nested": ("[" * 100_000, "invalid_message"),
    "nothing": ("", "invalid_message"),
    "picture of another type": ({"image_b64": 5}, "invalid_message"),
    "null": ({"image_b64": None}, "no_image"),
    "empty picture": ({"image_b64": ""}, "empty_frame"),
    "canvas without a size": ({"image_b64": "data:,"}, "empty_frame"),
    "garbage": ({"image_b64": "garbage!"}, "invalid_base64"),
    "half a character": ('{"image_b64": "\\ud800"}', None),
    "no frame": ({"image_b64": url(b"GIF89a" + bytes(50))}, "unsupported_format"),
    "truncated": ({"image_b64": url(picture(200, 200)[:500])}, "damaged_frame"),
    "switch as text": ({"image_b64": url(picture()), "show_fps": "yes"}, "invalid_message"),
    "quality beyond": ({"image_b64": url(picture()), "quality": 101}, "invalid_message"),
    "unknown mode": ({"mode": "video"}, "invalid_message"),
    "unknown task": ({"image_b64": url(picture()), "task_type": "paint"}, "unknown_task"),
    "unknown model": ({"image_b64": url(picture()), "model_name": "../../etc"}, "unknown_model"),
    "other task's model": (
        {"image_b64": url(picture()), "task_type": "deblur", "model_name": "denoise_16"},
        "wrong_task",
    ),
    "not installed": ({"image_b64": url(picture()), "model_name": "denoise_b"}, "weights_not_installed"),
    "too large": ({"image_b64": "A" * 7_000_000}, "frame_too_large"),
    "binary before the hello": (picture(), "no_hello"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_error_leaves_the_socket_open(session: WebSocketTestSession, name: str) -> None:
    message, code = WRONG[name]
    told = error_of(ask(session, message))
    assert code in (None, told)
    assert "data:image" in ask(session, {"image_b64": url(picture())})


def test_a_bomb_is_refused_at_once(session: WebSocketTestSession) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    began = time.monotonic()
    assert error_of(ask(session, {"image_b64": url(bomb, "png")})) == "too_many_pixels"
    assert time.monotonic() - began < 2


def test_a_program_sends_bytes(client: TestClient) -> None:
    with client.websocket_connect(ADDRESS) as session:
        ready = json.loads(ask(session, {"mode": "binary", "quality": 95}))
        assert ready == {
            "ready": True,
            "task_type": "denoise",
            "model_name": "denoise_16",
            "use_patch_processing": False,
            "show_fps": False,
            "quality": 95,
            "installed": True,
            "formats": ["jpeg", "png", "webp"],
            "max_frame_kb": 4096,
            "max_megapixels": 1.0,
            "max_fps": 30.0,
            "idle_seconds": 60.0,
        }
        session.send_bytes(picture(kind="WEBP"))
        large = session.receive_bytes()
        assert Image.open(io.BytesIO(large)).size == (60, 40)
        assert error_of(ask(session, b"nonsense")) == "unsupported_format"
        assert error_of(ask(session, b"")) == "empty_frame"
        # Wrong options leave those that were there.
        assert error_of(ask(session, {"mode": "binary", "model_name": "denoise_b"})) == "weights_not_installed"
        session.send_bytes(picture())
        assert session.receive_bytes().startswith(b"\xff\xd8\xff")
        assert json.loads(ask(session, {"mode": "binary", "show_fps": True}))["show_fps"] is True
        session.send_bytes(picture(120, 100))
        assert np.asarray(Image.open(io.BytesIO(session.receive_bytes()))).max() > 190


def test_a_hello_without_a_mode_is_answered_by_pictures_alone(client: TestClient) -> None:
    """As the contract has it: options as JSON, then JPEG bytes in, JPEG bytes out."""
    with client.websocket_connect(ADDRESS) as session:
        for options, brightest in (({}, 120), ({"task_type": "denoise", "show_fps": True}, 256)):
            session.send_text(json.dumps(options))
            session.send_bytes(picture(120, 100))
            answer = np.asarray(Image.open(io.BytesIO(session.receive_bytes())))
            assert brightest - 70 < answer.max() < brightest
        assert error_of(ask(session, {"task_type": "paint"})) == "unknown_task"


def test_both_modes_on_one_socket(client: TestClient) -> None:
    with client.websocket_connect(ADDRESS) as session:
        ask(session, {"mode": "binary"})
        assert shown(ask(session, {"image_b64": url(picture())})).shape == (40, 60, 3)
        session.send_bytes(picture())
        assert session.receive_bytes().startswith(b"\xff\xd8\xff")


def test_a_defect_is_told_and_logged(
    client: TestClient, session: WebSocketTestSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr("hub.live.session.encode", broken)
    assert error_of(ask(session, {"image_b64": url(picture())})) == "internal_error"
    assert "what nobody thought of" in caplog.text


def test_weights_are_fetched_as_for_photos(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client is told how far they are, and gets its frames back once they are there."""
    monkeypatch.setattr("hub.live.downloads.ANSWER_SECONDS", 0.05)
    monkeypatch.setattr("hub.live.session.ANSWER_SECONDS", 0.05)
    here = threading.Event()
    with open_client() as client:
        hub = client.app.state.hub  # type: ignore[attr-defined]
        source = hub.catalog.get("denoise_16").path
        name, asked = "denoise_16_sidd", []

        def fetch(name: str, *, progress: Callable[[int, int | None], None], cancelled: Callable[[], bool]) -> Any:
            asked.append(name)
            progress(3_000_000, 12_000_000)
            assert here.wait(60)
            target = tmp_path / "data" / "weights" / hub.catalog.get(name).file
            return Path(shutil.copy(source, f"{target}.new")).replace(target)

        monkeypatch.setattr(hub.fetcher, "reachable", lambda _: True)
        monkeypatch.setattr(hub.fetcher, "fetch", fetch)
        with client.websocket_connect(ADDRESS) as first, client.websocket_connect(ADDRESS) as second:
            assert json.loads(ask(first, {"mode": "binary", "model_name": name}))["installed"] is False
            for session, message in ((first, picture()), (second, {"image_b64": url(picture()), "model_name": name})):
                told = json.loads(ask(session, message))
                assert (told["code"], told["retry_after"]) == ("fetching_weights", 1)
                assert (told["received_bytes"], told["total_bytes"]) == (3_000_000, 12_000_000)
            here.set()
            while not (answer := ask(second, message)).startswith("data:image"):
                assert error_of(answer) == "fetching_weights", answer
            assert asked == [name]
            assert json.loads(ask(first, {"mode": "binary", "model_name": name}))["installed"] is True


def test_a_download_that_fails_is_told_and_not_tried_at_every_frame(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_client() as client, client.websocket_connect(ADDRESS) as session:
        fetcher, asked = client.app.state.hub.fetcher, []  # type: ignore[attr-defined]
        fetch = fetcher.fetch
        monkeypatch.setattr(fetcher, "reachable", lambda _: True)
        monkeypatch.setattr(fetcher, "fetch", lambda name, **options: (asked.append(name), fetch(name, **options)))
        codes: list[str] = []
        while codes.count("fetch_failed") < 3:
            codes.append(error_of(ask(session, {"image_b64": url(picture()), "model_name": "denoise_b"})))
        assert set(codes[:-3]) <= {"fetching_weights"}
        assert asked == ["denoise_b"]
