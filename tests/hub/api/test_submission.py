"""Sending the same request again, with a word of the sender's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from hub.service import Hub

from .clips import clip

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def send(client: TestClient, png: bytes, key: str | None, **fields: str) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    files = {"image_file": ("a.png", png)}
    return client.post("/api/process_image", files=files, data=fields, headers=headers)


def uploads(client: TestClient) -> int:
    folder = client.app.state.hub.settings.data_dir / "uploads"  # type: ignore[attr-defined]
    return len([*folder.iterdir()])


def test_the_same_request_returns_the_first_task(client: TestClient, png: bytes) -> None:
    before = uploads(client)
    first = send(client, png, "one", strength="0.5")
    client.app.state.hub.manager.wait(first.json()["task_id"], 120)  # type: ignore[attr-defined]

    again = send(client, png, "one", strength="0.5")

    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert int(again.headers["Retry-After"]) >= 1
    assert send(client, png, "two", strength="0.5").json() != first.json()
    assert send(client, png, None, strength="0.5").json() != first.json()
    assert uploads(client) == before + 3


@pytest.mark.parametrize("change", ["field", "file", "kind"])
def test_another_request_with_the_same_key(client: TestClient, png: bytes, change: str) -> None:
    key = f"changed {change}"
    first = send(client, png, key).json()
    before = uploads(client)

    if change == "field":
        answer = send(client, png, key, strength="0.5")
    elif change == "file":
        answer = send(client, png + b"\0", key)
    else:
        files = {"video_file": ("a.mp4", clip(2))}
        answer = client.post("/api/process_video", files=files, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "idempotency_key_reused"
    assert answer.json()["task_id"] == first["task_id"]
    assert uploads(client) == before


def test_of_many_at_once_one_begins(client: TestClient, png: bytes) -> None:
    before = uploads(client)

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: send(client, png, "race"), range(8))]

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert uploads(client) == before + 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_repeated_request_needs_neither_weights_nor_room(
    client: TestClient, png: bytes, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """Only its file must fit for a moment, into half of what is kept free."""
    hub: Hub = client.app.state.hub  # type: ignore[attr-defined]

    def send(key: str, image: bytes = png) -> tuple[int, str]:
        form = httpx.Request("POST", "http://x/", files={"image_file": ("a.png", image)})
        body = form.read()
        headers = {"Idempotency-Key": f"{key} {streamed}", "Content-Type": form.headers["Content-Type"]}
        answer = client.post("/api/process_image", content=iter([body]) if streamed else body, headers=headers)
        return answer.status_code, answer.json().get("task_id") or answer.json()["code"]

    first = send("needs nothing")
    assert first[0] == 202

    with monkeypatch.context() as patch:
        patch.setattr(hub.catalog, "models", lambda task=None: [])
        assert send("needs nothing") == first
        assert send("needs weights") == (409, "no_models")

    megabytes = hub.settings.min_free_mb
    monkeypatch.setattr(hub.files, "free_bytes", lambda: 750_000 * megabytes)
    assert send("needs nothing") == first
    assert send("needs nothing", png + b"\0")[0] == 422
    assert send("needs room") == (503, "disk_full")
    monkeypatch.setattr(hub.files, "free_bytes", lambda: 250_000 * megabytes)
    assert send("needs nothing") == (503, "disk_full")


def test_keys_of_others_are_others(open_client: OpenClient, png: bytes) -> None:
    with open_client(api_keys=["my-key-which-is-long", "your-key-which-is-long"]) as client:
        sent: list[Any] = []
        for key in ("my-key-which-is-long", "your-key-which-is-long"):
            client.headers["X-API-Key"] = key
            sent.append(send(client, png, "one").json()["task_id"])

        assert sent[0] != sent[1]


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\there", "b\u00e9b\u00e9".encode("latin-1")])
def test_keys_that_are_none(client: TestClient, png: bytes, key: Any) -> None:
    answer = send(client, png, key)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"task_type": "\0"}, 422),
        ({"model_name": "\ud7ff\ufffd\0"}, 422),
        ({"strength": "nan"}, 422),
        ({"strength": "1e999"}, 422),
        ({"quality": "9" * 5000}, 422),
        ({"quality": "5.5"}, 422),
        ({"task_type": "x" * 70_000}, 400),
        ({f"field{number}": "x" for number in range(200)}, 400),
    ],
)
def test_fields_that_are_wrong(client: TestClient, png: bytes, fields: dict[str, str], status: int) -> None:
    answer = send(client, png, None, **fields)

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "x"])
@pytest.mark.parametrize("name", ["start", "end"])
def test_times_that_are_none(client: TestClient, name: str, value: str) -> None:
    answer = client.post("/api/process_video", files={"video_file": ("a.mp4", clip(2))}, data={name: value})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", name]


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.png", b"\xed\xa0\x80.png", b"a\x00b.png", b"../../etc/passwd", b"x" * 4000]
)
def test_names_that_are_hostile(client: TestClient, png: bytes, name: bytes) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image_file"; filename="%s"\r\n\r\n%s\r\n--x--\r\n' % (
        name,
        png,
    )

    answer = client.post(
        "/api/process_image", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )

    assert answer.status_code in (202, 400)
    if answer.status_code == 202:
        task = client.get(f"/api/tasks/{answer.json()['task_id']}").json()
        assert "/" not in task["filename"]
        assert "\0" not in task["filename"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 422),
        ("application/x-www-form-urlencoded", b"image_file=a", 422),
        ("multipart/form-data", b"--x--", 400),
        ("multipart/form-data; boundary=x; charset=nonsense", b"--x--\r\n", 422),
        ("nonsense", b"\xff", 422),
    ],
)
def test_bodies_that_are_no_form_with_a_file(client: TestClient, content_type: str, body: bytes, status: int) -> None:
    answer = client.post("/api/process_image", content=body, headers={"Content-Type": content_type})

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
