from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gradio.queueing import Queue
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hub.api.app import create_app
from hub.service import Hub
from hub.settings import Settings
from hub.ui.mount import PageMount, mount_page


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The whole application: API, then page."""
    hub = Hub(Settings(data_dir=tmp_path_factory.mktemp("mount") / "data", auto_fetch=False))
    app = create_app(hub)

    async def mount() -> None:  # Outside a running event loop Gradio makes loops that it never closes.
        mount_page(app, hub)

    with pytest.MonkeyPatch.context() as environment:
        environment.setattr(os, "environ", os.environ.copy())
        asyncio.run(mount())
        with TestClient(app) as client:
            yield client


def test_the_page_is_at_the_root(client: TestClient) -> None:
    page = client.get("/")

    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Uformer Hub" in page.text
    assert client.get("/config").status_code == 200


def test_an_idle_page_hardly_works(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's queues look for events again and again, by default a thousand times a second each."""
    looks: list[float] = []
    length = Queue.__len__

    def look(queue: Queue) -> int:
        looks.append(time.monotonic())
        return length(queue)

    assert client.get("/").status_code == 200
    monkeypatch.setattr(Queue, "__len__", look)
    time.sleep(1.5)

    assert looks, "the page's queue runs"
    assert len(looks) < 1.5 * 2 * 100, "of two languages at most"


def test_nothing_is_loaded_from_elsewhere(client: TestClient) -> None:
    page = client.get("/").text
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["'](https?:)?//""", page)

    assert loaded == []
    assert "fonts.googleapis" not in page + client.get("/theme.css").text


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api", "/static_results/nothing.png", "/ready/nothing", "/ws/nothing"]
)
def test_the_apis_missing_paths_are_the_apis(client: TestClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/process_image"), ("POST", "/health"), ("DELETE", "/api/available_controls"), ("POST", "/docs")],
)
def test_wrong_methods_are_405(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["Allow"]


def test_the_apis_trailing_slashes_lead_to_the_api(client: TestClient) -> None:
    answer = client.get("/api/available_controls/", follow_redirects=False)

    assert answer.status_code == 307
    assert answer.headers["Location"].endswith("/api/available_controls")


def test_paths_that_only_begin_alike_are_the_pages(client: TestClient) -> None:
    for path in ("/apiary", "/docsearch", "/healthy"):
        assert "problem+json" not in client.get(path).headers["Content-Type"]


def test_docs_still_answer(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/health"):
        assert client.get(path).status_code == 200


def test_gradio_fetches_nothing_from_other_machines(client: TestClient) -> None:
    for path in ("/gradio_api/file=http://example.org/a.png", "/gradio_api/proxy=https://example.org/a.png"):
        assert client.get(path).status_code == 403


def test_gradio_serves_no_files_of_the_hub(client: TestClient) -> None:
    hub: Hub = client.app.state.hub  # type: ignore[attr-defined]
    for file in (*hub.settings.data_dir.glob("*.sqlite3"), *(hub.settings.data_dir / "examples").iterdir()):
        assert client.get(f"/gradio_api/file={file}").status_code == 403


def test_clips_of_unknown_jobs_are_not_found(client: TestClient) -> None:
    for path in ("00000000-0000-4000-8000-000000000000/before.mp4", "..%2F..%2Fhub/latest.jpg", "x/hub.sqlite3"):
        assert client.get(f"/clips/{path}").status_code == 404


def test_uploads_are_bounded_and_stay_in_the_data_directory(client: TestClient) -> None:
    hub: Hub = client.app.state.hub  # type: ignore[attr-defined]
    [path] = client.post("/gradio_api/upload", files={"files": ("a.png", b"some bytes")}).json()

    assert Path(path).is_relative_to(hub.settings.data_dir.resolve())
    assert Path(path).read_bytes() == b"some bytes"


def test_reserved_paths_below_a_sub_path() -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("page")(scope, receive, send)

    app = FastAPI(routes=[PageMount("", app=page)])
    client = TestClient(app, root_path="/restore")

    assert client.get("/restore/api/nothing").status_code == 404
    assert client.get("/restore/").text == "page"
