from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from hub.api.problems import install_problem_handlers
from hub.api.uploads import UploadGate
from hub.service import Hub
from hub.settings import Settings

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def test_a_declared_size_is_refused_before_the_body_is_read(open_client: OpenClient) -> None:
    with open_client(max_upload_mb=1) as client:
        answer = client.post("/api/process_image", files={"image_file": ("a.png", bytes(3_000_000))})

        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "upload_too_large"
        assert "1 MB" in answer.json()["detail"]


def test_a_body_of_unknown_size_is_stopped_while_it_streams_in(open_client: OpenClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield (
            b"--x\r\n"
            b'Content-Disposition: form-data; name="image_file"; filename="a.png"\r\n'
            b"Content-Type: image/png\r\n\r\n"
        )
        while sent < 50_000_000:
            sent += 100_000
            yield bytes(100_000)

    with open_client(max_upload_mb=1) as client:
        answer = client.post(
            "/api/process_image", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )

        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "upload_too_large"


def test_a_nearly_full_disk_refuses_uploads_and_serves_on(open_client: OpenClient, png: bytes) -> None:
    with open_client(min_free_mb=10**9) as client:
        answer = client.post("/api/process_image", files={"image_file": ("a.png", png)})

        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["code"] == "disk_full"
        assert client.get("/health").status_code == 200
        assert client.post("/api/tasks/nothing/cancel", json={}).json()["code"] == "task_not_found"


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("/api/process_image", True),
        ("/gradio_api/upload", True),
        ("/gradio_api/queue/join", False),
        ("/gradio_api/run/predict", False),
        ("/api/tasks/1/cancel", False),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/restore"])
@pytest.mark.parametrize("streamed", [False, True])
def test_only_bodies_that_are_files_need_the_disk(
    settings: Settings, path: str, stored: bool, root_path: str, streamed: bool
) -> None:
    """Behind a proxy the server sees its sub-path before the path, and the page's own paths go the same way."""

    async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    hub = Hub(settings.model_copy(update={"min_free_mb": 10**9, "max_upload_mb": 1}))
    app = FastAPI(routes=[Mount("/", read_body)])
    install_problem_handlers(app)
    app.add_middleware(UploadGate, hub=hub)
    client = TestClient(app, root_path=root_path)

    def send(size: int) -> int:
        content = iter([bytes(size)]) if streamed else bytes(size)
        return client.post(f"{root_path}{path}", content=content).status_code

    assert send(100) == (503 if stored else 200)
    # A body of unknown size meets the disk before its own end.
    assert send(3_000_000) == (503 if stored and streamed else 413)
    hub.stop()
