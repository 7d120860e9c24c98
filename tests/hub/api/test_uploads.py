from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import install_problem_handlers
from hub.api.uploads import API_BYTES, UploadGate, UploadPace
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


@pytest.mark.parametrize("streamed", [False, True])
def test_calls_that_take_no_file_take_little(client: TestClient, streamed: bool) -> None:
    def send(size: int) -> int:
        content = iter([bytes(size // 2), bytes(size - size // 2)]) if streamed else bytes(size)
        return client.post("/api/tasks/nothing/cancel", content=content).status_code

    assert send(API_BYTES) == 404
    # A body that nobody reads is no harm; one that is announced is refused.
    assert send(API_BYTES + 1) == (404 if streamed else 413)


def test_a_body_that_is_read_stops_at_the_limit(settings: Settings) -> None:
    answer = _streamed(settings, "/api/confirm_download", [bytes(10_000)] * 10)

    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert answer.json()["max_bytes"] == API_BYTES


@pytest.mark.parametrize(
    ("fields", "files", "words"),
    [
        (100, 1, "Too many fields"),
        (1, 10, "Too many files"),
    ],
)
def test_forms_have_few_parts(client: TestClient, png: bytes, fields: int, files: int, words: str) -> None:
    answer = client.post(
        "/api/process_image",
        files=[("image_file", ("a.png", png))] * files,
        data={f"field_{number}": "x" for number in range(fields)},
    )

    assert answer.status_code == 400
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("form", ["multipart", "urlencoded"])
def test_fields_are_short(client: TestClient, png: bytes, form: str) -> None:
    data = {"task_type": "x" * 100_000}
    files = {"image_file": ("a.png", png)} if form == "multipart" else None

    assert client.post("/api/process_image", files=files, data=data).status_code in (400, 413, 422)


def test_a_part_has_a_bounded_head(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 1_000_000 + b'"\r\n\r\n\r\n--x--\r\n'
    answer = client.post(
        "/api/process_image", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )

    assert answer.status_code == 400


class TestSlowBodies:
    """A client that dribbles is given up; one that has said all may wait for its answer as long as it likes."""

    def test_silence(self, settings: Settings) -> None:
        answer = _streamed(settings, "/api/process_image", [b"a", 5.0, b"b"], UploadPace(silence=0.1))

        assert answer.status_code == 408
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "request_timeout"

    def test_too_few_bytes(self, settings: Settings) -> None:
        parts: list[bytes | float] = [b"a", 0.06] * 10
        answer = _streamed(settings, "/api/process_image", parts, UploadPace(silence=5, rate=1000, patience=0.2))

        assert answer.status_code == 408

    def test_enough_bytes(self, settings: Settings) -> None:
        parts: list[bytes | float] = [b"a", 0.06] * 5
        answer = _streamed(settings, "/api/process_image", parts, UploadPace(silence=5, rate=1, patience=0.1))

        assert (answer.status_code, answer.text) == (200, "5")

    def test_waiting_for_an_answer(self, settings: Settings) -> None:
        async def patient(scope: Scope, receive: Receive, send: Send) -> None:
            assert await Request(scope, receive).body() == b"a"
            assert (await receive())["type"] == "http.disconnect"
            await PlainTextResponse("left")(scope, receive, send)

        answer = _streamed(settings, "/api/x", [b"a", b"", 0.3], UploadPace(silence=0.1), patient)

        assert (answer.status_code, answer.text) == (200, "left")


class _Answer:
    def __init__(self, sent: list[Message]) -> None:
        self.status_code: int = sent[0]["status"]
        self.headers = Headers(raw=sent[0]["headers"])
        self.text = b"".join(message.get("body", b"") for message in sent[1:]).decode()

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.text)
        return answer


async def _count(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


def _streamed(
    settings: Settings,
    path: str,
    parts: Sequence[bytes | float],
    pace: UploadPace | None = None,
    read: ASGIApp = _count,
) -> _Answer:
    """What is answered to a body that comes in `parts`, numbers being pauses in seconds."""
    hub = Hub(settings)
    app = FastAPI(routes=[Mount("/", read)])
    install_problem_handlers(app)
    app.add_middleware(UploadGate, hub=hub, pace=pace)
    coming = list(parts)
    sent: list[Message] = []

    async def receive() -> Message:
        while coming and isinstance(coming[0], float):
            await asyncio.sleep(coming.pop(0))  # type: ignore[arg-type]
        if not coming:
            return {"type": "http.disconnect"}
        body = coming.pop(0)
        return {"type": "http.request", "body": body, "more_body": any(isinstance(part, bytes) for part in coming)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    hub.stop()
    return _Answer(sent)
