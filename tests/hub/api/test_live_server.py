"""The live socket over a real connection: many clients, fast ones, slow ones, and those that vanish."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from hub.api import live
from hub.api.app import create_app
from hub.service import Hub
from hub.settings import Settings

from .frames import ADDRESS, error_of, picture, shown, url


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
    with server.connect() as session:
        session.send(json.dumps({"mode": "binary"}))
        session.recv()
        session.send(picture(256, 256))  # What must be compiled is not to be measured.
        session.recv(timeout=60)
        before = server.hub.live.counters()
        shades = [number // 5 for number in range(1200)] + [250]
        pictures = {shade: picture(256, 256, shade) for shade in set(shades)}
        began = time.monotonic()
        for shade in shades:
            session.send(pictures[shade])
        answers: list[float] = []
        while not answers or abs(answers[-1] - shades[-1]) > 3:
            answer = session.recv(timeout=60)
            assert isinstance(answer, bytes)
            answers.append(float(np.asarray(Image.open(io.BytesIO(answer))).mean()))
    assert time.monotonic() - began < 6, "Old frames delay the newest."
    assert answers == sorted(answers)
    after = server.hub.live.counters()
    dropped = after["dropped_total"] - before["dropped_total"]
    assert dropped + len(answers) == len(shades)
    assert len(answers) < len(shades) / 2


def send_and_read(session: ClientConnection, message: str) -> str | bytes:
    session.send(message)
    return session.recv(timeout=20)


def ask(session: ClientConnection, **message: Any) -> str:
    return str(send_and_read(session, json.dumps(message)))


def ends(session: ClientConnection) -> int:
    """The code with which the server closes the socket."""
    with pytest.raises(ConnectionClosed) as caught:
        session.recv(timeout=20)
    assert caught.value.rcvd is not None
    return int(caught.value.rcvd.code)


def test_an_idle_place_goes_to_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "data", live_clients=2) as server, ExitStack() as stack:
        idle, good = (stack.enter_context(server.connect()) for _ in range(2))
        for session in (idle, good):
            assert json.loads(ask(session, mode="binary"))["idle_seconds"] == 60
        with server.connect() as late:
            told = json.loads(late.recv(timeout=20))
            assert (told["code"], told["retry_after"]) == ("live_full", 10)
            assert ends(late) == 1013
        monkeypatch.setattr("hub.live.service.IDLE_SECONDS", 0.2)
        time.sleep(0.3)
        # Nobody wanted its place, so it is still there; nonsense does not keep it.
        assert error_of(ask(idle, image_b64=None)) == "no_image"
        with server.connect() as late:
            assert json.loads(ask(late, mode="binary"))["ready"]
            assert error_of(str(idle.recv(timeout=20))) == "idle"
            assert ends(idle) == 1000
            assert ask(good, image_b64=url(picture())).startswith("data:image")


def test_few_may_wait_for_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.lobby.MOST_OF_ONE", 2)
    key = "a-key-of-24-characters-x"
    with running(tmp_path / "data", api_keys=[key], live_clients=3) as server, ExitStack() as stack:
        waiting = [stack.enter_context(server.connect()) for _ in range(2)]
        with pytest.raises(InvalidStatus) as refused:
            server.connect()
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["code"] == "lobby_full"
        assert "retry-after" in refused.value.response.headers
        with server.connect(additional_headers={"X-API-Key": key}) as known:
            assert json.loads(ask(known, mode="binary"))["ready"]
        assert json.loads(ask(waiting[0], mode="binary", api_key=key))["ready"]
        with server.connect() as third:
            assert error_of(ask(third, mode="binary")) == "key_required"
            assert ends(third) == 4401


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
