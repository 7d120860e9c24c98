"""The real application over a real hub, started once; and a way to start one with other settings."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from hub.api.app import create_app
from hub.errors import NotFound
from hub.service import Hub
from hub.settings import Settings

# Port 9 is where nothing listens: what would be downloaded cannot be reached.
NOWHERE = ["http://127.0.0.1:9/"]

OpenClient = Callable[..., AbstractContextManager[TestClient]]


@contextmanager
def _open_client(data_dir: Path, **changes: Any) -> Iterator[TestClient]:
    settings = Settings(data_dir=data_dir, fetch_urls=NOWHERE, **changes)
    with TestClient(create_app(Hub(settings)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of an application with default settings; its hub is `client.app.state.hub`."""
    with _open_client(tmp_path_factory.mktemp("api") / "data") as client:
        yield client


@pytest.fixture
def open_client(tmp_path: Path) -> OpenClient:
    """Starts an application of its own: `with open_client(max_upload_mb=1) as client`."""
    return lambda **changes: _open_client(tmp_path / "data", **changes)


@dataclass
class Served:
    """An application on a socket of its own, in this process."""

    address: str
    hub: Hub


@contextmanager
def _open_server(data_dir: Path, **changes: Any) -> Iterator[Served]:
    hub = Hub(Settings(data_dir=data_dir, fetch_urls=NOWHERE, **changes))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(hub), log_config=None, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "The server did not start."
                time.sleep(0.01)
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", hub)
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with one worker for photos, for what a client that reads whole answers cannot see."""
    with _open_server(tmp_path_factory.mktemp("served") / "data", image_workers=1) as served:
        yield served


@pytest.fixture
def open_server(tmp_path: Path) -> Callable[..., AbstractContextManager[Served]]:
    """Starts a server of its own: `with open_server(image_workers=1) as served`."""
    return lambda **changes: _open_server(tmp_path / "data", **changes)


@pytest.fixture
def busy(served: Served, png: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """While the test lasts the one worker of `served` is held up; each call posts a photo and returns its task's id."""
    entered, leave = threading.Event(), threading.Event()
    decode = served.hub.decoder.decode

    def slow(path: Path) -> Any:
        entered.set()
        assert leave.wait(60)
        return decode(path)

    def send() -> str:
        files = {"image_file": ("waiting.png", png, "image/png")}
        task_id: str = httpx.post(f"{served.address}/api/process_image", files=files).json()["task_id"]
        return task_id

    monkeypatch.setattr(served.hub.decoder, "decode", slow)
    running = send()
    assert entered.wait(30)
    yield send
    for view in served.hub.manager.list(limit=1000):
        served.hub.cancel(view.job.id)
    leave.set()
    with suppress(NotFound):  # Some tests delete it.
        served.hub.manager.wait(running, 30)


@pytest.fixture
def png(noisy_photo: NDArray[np.uint8]) -> bytes:
    """A noisy photo as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(noisy_photo).save(file, "png")
    return file.getvalue()


Post = Callable[..., str]


@pytest.fixture
def post(client: TestClient, png: bytes) -> Post:
    """Posts the photo with the given fields and returns the task's id."""

    def send(filename: str = "holiday.png", **fields: Any) -> str:
        files = {"image_file": (filename, png, "image/png")}
        answer = client.post("/api/process_image", files=files, data=fields)
        assert answer.status_code == 202, answer.text
        task_id: str = answer.json()["task_id"]
        return task_id

    return send


def wait(client: TestClient, task_id: str, seconds: float = 120, kind: str = "image") -> dict[str, Any]:
    """Poll as a client would until the task has ended; returns its last status."""
    deadline = time.monotonic() + seconds
    progress = 0
    while time.monotonic() < deadline:
        answer = client.get(f"/api/{kind}_status/{task_id}")
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()
        assert status.get("progress", 100) >= progress, "progress went back"
        progress = status.get("progress", progress)
        if status["status"] not in ("pending", "processing"):
            return status
        time.sleep(0.05)
    raise TimeoutError(f"Task {task_id} did not end within {seconds} seconds.")


def eventually(what: Callable[[], object], seconds: float = 10) -> None:
    """Wait until `what` is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(name="wait")
def _wait() -> Callable[..., dict[str, Any]]:
    """`wait(client, task_id, kind="video")`: poll until the task has ended."""
    return wait
