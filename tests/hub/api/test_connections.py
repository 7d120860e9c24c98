from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.sync.client import connect

from hub.api import connections
from hub.api.connections import Connection, allow_many_files

SECONDS = 0.6


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes that came; sockets say what they hear."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await receive()
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await asyncio.sleep(0)
    body = str(size).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the application listens."""
    config = uvicorn.Config(application, port=0, http=Connection, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEAD_SECONDS", SECONDS)
        listener = config.bind_socket()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def answer_of(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_whoever_does_not_say_what_he_wants_is_left(port: int, before: bytes) -> None:
    """Also in the second request of a connection."""
    with connected(port) as connection:
        complete = before.endswith(b"\r\n\r\n")
        connection.sendall(before)
        began = time.monotonic()
        if complete:
            assert b"200 OK" in connection.recv(65536)
            connection.sendall(b"GET /")

        answer = answer_of(connection)

    assert answer == b""
    assert SECONDS * 0.5 < time.monotonic() - began < SECONDS + 3


def push(connection: socket.socket, part: bytes, most: int, pause: float = 0) -> int:
    """How many bytes of `part`, again and again, the other side takes before it hangs up; `most` at most."""
    sent = 0
    with suppress(ConnectionError):
        while sent < most:
            sent += connection.send(part)
            time.sleep(pause)
    return sent


def test_dribbling_gains_no_time(port: int) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        assert push(connection, b"G", 200, pause=0.05) < 200

    assert time.monotonic() - began < SECONDS + 3


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX-Long: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;extension=",
    ],
)
def test_nothing_endless_is_kept(port: int, start: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(start)
        # Most of what is sent lies in the buffers of the two sockets.
        assert push(connection, b"a" * 65536, most=100_000_000) < 20_000_000


def test_a_slow_body_has_a_clock_of_its_own(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        for byte in (b"a", b"b"):
            time.sleep(SECONDS)
            connection.sendall(byte)

        assert answer_of(connection).endswith(b"\r\n\r\n2")


def test_sockets_live_on(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/ws") as client:
        time.sleep(SECONDS * 2)
        client.send("still here")
        assert client.recv() == "still here"


def test_the_limit_of_open_files_only_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096), (1024, 1_000_000), (65_536, 1_000_000), (1024, resource.RLIM_INFINITY)]
    now = iter(limits)
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: next(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: changed.append(pair))

    for _ in limits:
        allow_many_files()

    assert changed == [(4096, 4096), (16_384, 1_000_000), (16_384, resource.RLIM_INFINITY)]
