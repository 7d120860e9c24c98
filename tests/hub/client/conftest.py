"""Both clients under one face, a server that follows a script, and the real one."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from hub.api.app import create_app
from hub.client import AsyncHubClient, AsyncTask, HubClient, retries, watching
from hub.service import Hub
from hub.settings import Settings


class Awaited:
    """An asynchronous client or task whose methods are waited for, so that one test serves both clients."""

    def __init__(self, runner: asyncio.Runner, subject: Any) -> None:
        self._runner = runner
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._subject, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            outcome = value(*arguments, **named)
            if inspect.iscoroutine(outcome):
                outcome = self._runner.run(outcome)
            return Awaited(self._runner, outcome) if isinstance(outcome, AsyncTask) else outcome

        return call


Connect = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of either sort, closed at the end: `hub = connect(address, patience=5)`."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(address: str, **options: Any) -> Any:
            if request.param == "sync":
                return stack.enter_context(HubClient(address, **options))
            client = Awaited(runner, AsyncHubClient(address, **options))
            stack.callback(client.aclose)
            return client

        yield make


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are there for the server's sake are cut short."""
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(watching, "_REOPEN_SECONDS", 0.01)


KEPT_BYTES = 1 << 20


@dataclass
class Seen:
    """A request as it came in; of a long body only the beginning is kept."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    length: int
    time: float = field(default_factory=time.monotonic)


Act = Callable[[BaseHTTPRequestHandler], None]


class Scripted:
    """A server that answers each request by the next act of its script, whatever was asked."""

    def __init__(self) -> None:
        self.script: list[Act] = []
        self.seen: list[Seen] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _act(self) -> None:
                outer.seen.append(Seen(self.command, self.path, dict(self.headers.items()), *self._body()))
                act = (
                    outer.script.pop(0) if outer.script else reply(500, {"code": "script_ended", "detail": "The end."})
                )
                act(self)

            def _body(self) -> tuple[bytes, int]:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(min(length, KEPT_BYTES))
                for start in range(len(body), length, 1 << 16):
                    self.rfile.read(min(1 << 16, length - start))
                return body, length

            do_GET = do_POST = do_DELETE = _act  # noqa: N815 - the names are the standard library's

            def log_message(self, *_: Any) -> None:
                """Tests need no access log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def scripted(hurry: None) -> Iterator[Scripted]:
    """`scripted.script = [reply(503), reply(202, {"task_id": "1"})]`."""
    server = Scripted()
    yield server
    server.close()


def reply(status: int, body: Any = None, **headers: str) -> Act:
    """A whole answer; a body that is not bytes goes as JSON, and underscores of header names are hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if status != 204:
            handler.wfile.write(content)

    return act


def lose() -> Act:
    """The request is read, and no answer comes back."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)

    return act


def cut(body: bytes, at: int, status: int = 200, **headers: str) -> Act:
    """An answer that breaks off after `at` bytes of its body."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body[:at])
        lose()(handler)

    return act


def stream(*events: str, seconds: float = 0) -> Act:
    """Server-sent events, and then the end; each is the text of one event, sent `seconds` after the one before."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for event in events:
            handler.wfile.write(event.encode())
            handler.wfile.flush()
            time.sleep(seconds)
        handler.close_connection = True

    return act


def event(status: dict[str, Any], number: int = 1) -> str:
    """A task's state as an event."""
    return f"event: status\ndata: {json.dumps(status)}\nid: {number}\n\n"


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real application on a real port, with default settings and no downloads."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("client") / "data", auto_fetch=False, page=False)
    config = uvicorn.Config(create_app(Hub(settings)), host="127.0.0.1", port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "The server did not start."
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def photo(noisy_png: Path) -> Path:
    """A photo where its owner keeps it, alone in its folder."""
    folder = noisy_png.parent / "photos"
    folder.mkdir()
    return noisy_png.rename(folder / "holiday.png")


@pytest.fixture(name="acts")
def _acts() -> Any:
    """What a script is made of: `acts.reply`, `acts.lose`, `acts.cut`, `acts.stream`, `acts.event`."""
    return type("Acts", (), {f.__name__: staticmethod(f) for f in (reply, lose, cut, stream, event)})
