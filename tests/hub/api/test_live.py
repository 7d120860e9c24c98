"""The live socket as pages and programs use it, and as somebody might try to break it."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from hub.api import live
from hub.api.app import create_app
from hub.service import Hub
from hub.settings import Settings

ADDRESS = "/ws/process_video"
KEY = "a-key-of-24-characters-x"

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def picture(width: int = 60, height: int = 40, shade: int = 100, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), shade, np.uint8)).save(file, kind)
    return file.getvalue()


def url(data: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def shown(answer: str) -> NDArray[np.uint8]:
    """The picture of an answer in JSON mode."""
    head, _, payload = answer.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(payload, validate=True))))


def error_of(answer: str) -> str:
    told: dict[str, Any] = json.loads(answer)
    assert len(told["error"]) > 10
    code: str = told["code"]
    return code


def ask(session: WebSocketTestSession, message: Any) -> str:
    """Send a message, JSON unless it is text or bytes, and return the text that comes back."""
    if isinstance(message, bytes):
        session.send_bytes(message)
    else:
        session.send_text(message if isinstance(message, str) else json.dumps(message))
    return session.receive_text()


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
    "no picture": ({}, "no_image"),
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
        assert json.loads(ask(session, {"show_fps": True}))["show_fps"] is True
        session.send_bytes(picture(120, 100))
        assert np.asarray(Image.open(io.BytesIO(session.receive_bytes()))).max() > 190


def test_both_modes_on_one_socket(client: TestClient) -> None:
    with client.websocket_connect(ADDRESS) as session:
        ask(session, {"mode": "binary"})
        assert shown(ask(session, {"image_b64": url(picture())})).shape == (40, 60, 3)
        session.send_bytes(picture())
        assert session.receive_bytes().startswith(b"\xff\xd8\xff")


def test_pages_of_other_sites_may_not_connect(open_client: OpenClient) -> None:
    with open_client(cors_origins=["https://friend.example"]) as client:
        for origin in (
            "http://evil.example",
            "null",
            "http://testserver.evil.example",
            "http://[",
            "http://testserver:81",
        ):
            with (
                pytest.raises(WebSocketDenialResponse) as caught,
                client.websocket_connect(ADDRESS, headers={"Origin": origin}),
            ):
                pass
            assert caught.value.status_code == 403
            assert caught.value.json()["code"] == "foreign_page"
        for origin in ("http://testserver", "http://testserver:80", "https://TESTSERVER", "https://friend.example"):
            with client.websocket_connect(ADDRESS, headers={"Origin": origin}) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]


def ends(session: WebSocketTestSession) -> int:
    """The code with which the server closes the socket."""
    with pytest.raises(WebSocketDisconnect) as caught:
        session.receive_text()
    return int(caught.value.code)


def test_a_key_is_asked_for(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEY_SECONDS", 0.2)
    with open_client(api_keys=[KEY]) as client:
        for first, code in (
            ({"mode": "binary"}, "key_required"),
            ({"image_b64": url(picture())}, "key_required"),
            (b"bytes", "key_required"),
            ("no JSON", "key_required"),
            ({"mode": "binary", "api_key": "another-key-of-mine-123"}, "wrong_key"),
        ):
            with client.websocket_connect(ADDRESS) as session:
                assert error_of(ask(session, first)) == code
                assert ends(session) == 4401
        with client.websocket_connect(ADDRESS) as session:
            assert error_of(session.receive_text()) == "key_required"
            assert ends(session) == 4401
        with client.websocket_connect(ADDRESS, headers={"X-API-Key": "wrong-key-of-some-length"}) as session:
            assert error_of(session.receive_text()) == "wrong_key"
            assert ends(session) == 4401
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            with client.websocket_connect(ADDRESS, headers=headers) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]
        with client.websocket_connect(ADDRESS) as session:
            ready = ask(session, {"mode": "binary", "api_key": KEY})
            assert json.loads(ready)["ready"]
            assert KEY not in ready
        with client.websocket_connect(ADDRESS) as session:
            assert shown(ask(session, {"image_b64": url(picture()), "api_key": KEY})).shape == (40, 60, 3)
            assert shown(ask(session, {"image_b64": url(picture())})).shape == (40, 60, 3)


def test_connections_are_counted(open_client: OpenClient) -> None:
    with open_client(rate_limit="2/hour") as client:
        for _ in range(2):
            with client.websocket_connect(ADDRESS) as session:
                assert json.loads(ask(session, {"mode": "binary"}))["ready"]
        with client.websocket_connect(ADDRESS) as session:
            told = json.loads(session.receive_text())
            assert told["code"] == "too_many_requests"
            assert 0 < told["retry_after"] <= 3600
            assert ends(session) == 1013


def test_places_and_idle_sockets(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "IDLE_SECONDS", 0.5)
    with open_client(live_clients=1) as client, client.websocket_connect(ADDRESS) as first:
        assert json.loads(ask(first, {"mode": "binary"}))["idle_seconds"] == 0.5
        with client.websocket_connect(ADDRESS) as second:
            told = json.loads(second.receive_text())
            assert (told["code"], told["retry_after"]) == ("live_full", 10)
            assert ends(second) == 1013
        assert error_of(first.receive_text()) == "idle"
        assert ends(first) == 1000
        with client.websocket_connect(ADDRESS) as third:
            assert json.loads(ask(third, {"mode": "binary"}))["ready"]


def test_a_defect_is_told_and_logged(
    client: TestClient, session: WebSocketTestSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr("hub.live.session.encode", broken)
    assert error_of(ask(session, {"image_b64": url(picture())})) == "internal_error"
    assert "what nobody thought of" in caplog.text


class RealServer:
    """The application in uvicorn, with small buffers, so that a client that does not read is noticed soon."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(create_app(hub), log_config=None, ws_per_message_deflate=False))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "The server did not start."
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def connect(self, **options: Any) -> ClientConnection:
        address = f"ws://127.0.0.1:{self.port}{ADDRESS}"
        session: ClientConnection = connect(address, max_size=None, compression=None, **options)
        return session


@contextmanager
def running(data_dir: Path, **changes: Any) -> Iterator[RealServer]:
    server = RealServer(Hub(Settings(data_dir=data_dir, auto_fetch=False, **changes)))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(tmp_path_factory.mktemp("live") / "data", live_clients=24) as server:
        yield server


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come about."
        time.sleep(0.02)


def test_twenty_clients_at_once(server: RealServer) -> None:
    def client(number: int) -> bool:
        with server.connect() as session:
            session.send(json.dumps({"image_b64": url(picture(shade=number * 10))}))
            answer = session.recv(timeout=120)
            assert isinstance(answer, str)
            # Its own frame, and not another client's.
            assert abs(shown(answer).mean() - number * 10) < 8
        return True

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(client, range(20)))
    wait_for(lambda: server.hub.live.counters()["clients"] == 0)


def test_frames_that_come_too_fast_are_dropped(server: RealServer) -> None:
    before = server.hub.live.counters()
    with server.connect() as session:
        session.send(json.dumps({"mode": "binary"}))
        session.recv()
        shades = [*range(0, 240, 6), 250]
        for shade in shades:
            session.send(picture(256, 256, shade))
        answers: list[float] = []
        while not answers or abs(answers[-1] - shades[-1]) > 3:
            answer = session.recv(timeout=60)
            assert isinstance(answer, bytes)
            answers.append(float(np.asarray(Image.open(io.BytesIO(answer))).mean()))
    assert answers == sorted(answers)
    after = server.hub.live.counters()
    dropped = after["dropped_total"] - before["dropped_total"]
    assert dropped + len(answers) == len(shades)
    assert len(answers) < len(shades) / 2


def send_and_read(session: ClientConnection, message: str) -> str | bytes:
    session.send(message)
    return session.recv(timeout=20)


def test_a_huge_message_ends_only_its_own_socket(server: RealServer) -> None:
    with server.connect() as good, server.connect() as bad:
        with pytest.raises(ConnectionClosed) as caught:
            send_and_read(bad, "x" * 50_000_000)
        # The code may be lost with what had not been read.
        assert caught.value.rcvd is None or caught.value.rcvd.code == 1009
        good.send(json.dumps({"image_b64": url(picture())}))
        assert str(good.recv(timeout=60)).startswith("data:image/jpeg")


def test_who_does_not_read_is_dropped_and_delays_nobody(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEND_SECONDS", 1.0)
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::4] = np.random.default_rng(0).integers(0, 256, (256, 64, 3))
    file = io.BytesIO()
    Image.fromarray(stripes).save(file, "PNG")
    narrow = socket.create_connection(("127.0.0.1", server.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with ExitStack() as stack:
        lazy = stack.enter_context(server.connect(sock=narrow, max_queue=1, close_timeout=0.1))
        good = stack.enter_context(server.connect())
        lazy.send(json.dumps({"mode": "binary", "quality": 100}))
        good.send(json.dumps({"mode": "binary"}))
        good.recv(timeout=20)
        before = server.hub.live.counters()["frames_total"]
        sent = 0
        while server.hub.live.counters()["clients"] > 1:
            try:
                lazy.send(file.getvalue())
            except ConnectionClosed:
                break
            good.send(picture())
            assert isinstance(good.recv(timeout=30), bytes)
            sent += 1
            assert sent < 100, "The client that does not read is still there."
        assert server.hub.live.counters()["frames_total"] - before >= sent


def test_a_client_that_vanishes_leaves_nothing(server: RealServer) -> None:
    with server.connect(close_timeout=0.1) as session:
        session.send(json.dumps({"image_b64": url(picture(800, 800))}))
        wait_for(lambda: server.hub.live.counters()["threads"] > 0)
        session.socket.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: server.hub.live.counters()["clients"] == 0)
        wait_for(lambda: server.hub.live.counters()["threads"] == 0)


def test_stopping_says_so_to_every_client(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, server.connect() as idle, server.connect() as busy:
        busy.send(json.dumps({"image_b64": url(picture(600, 600))}))
        wait_for(lambda: server.hub.live.counters()["threads"] > 0)
        began = time.monotonic()
        server.hub.begin_stop()
        for session in (idle, busy):
            with pytest.raises(ConnectionClosed) as caught:
                session.recv(timeout=5)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        assert time.monotonic() - began < 1
