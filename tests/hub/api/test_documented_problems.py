"""Every error that the OpenAPI document shows, provoked: its code, its words and its members are the real ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from hub.jobs.model import Kind

from .test_photos import chunked_png
from .test_tasks import large_png

OpenClient = Callable[..., AbstractContextManager[TestClient]]
Provoke = Callable[[TestClient, bytes], httpx.Response]

PROCESS = "POST /api/process_image"
TASK_ID = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"


def posted(content: bytes | None = None, **fields: str) -> Provoke:
    """Posts a file (the photo if None) with fields."""

    def provoke(client: TestClient, png: bytes) -> httpx.Response:
        files = {"image_file": ("a.png", png if content is None else content)}
        return client.post("/api/process_image", files=files, data=fields)

    return provoke


def no_form(client: TestClient, _: bytes) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return client.post("/api/process_image", content=b"nonsense", headers=headers)


def no_file(client: TestClient, _: bytes) -> httpx.Response:
    return client.post("/api/process_image", data={"task_type": "denoise"})


def announced(client: TestClient, _: bytes) -> httpx.Response:
    return client.post("/api/process_image", content=b"x", headers={"Content-Length": "600000000"})


def into_a_full_queue(client: TestClient, _: bytes) -> httpx.Response:
    photo = large_png()
    answers = [posted(photo)(client, b"") for _ in range(4)]
    for view in client.app.state.hub.manager.list(kind=Kind.IMAGE):  # type: ignore[attr-defined]
        client.post(f"/api/tasks/{view.job.id}/cancel")
    return next(answer for answer in answers if answer.status_code == 503)


PROVOKED: dict[tuple[str, str], Provoke] = {
    (PROCESS, "bad_request"): no_form,
    (PROCESS, "weights_not_installed"): posted(model_name="denoise_b"),
    (PROCESS, "too_many_pixels"): posted(chunked_png(20_000, 20_000, b"")),
    (PROCESS, "upload_too_large"): announced,
    (PROCESS, "not_an_image"): posted(b"%PDF-1.7 this is no photo"),
    (PROCESS, "invalid_request"): no_file,
    (PROCESS, "unknown_task"): posted(task_type="sharpen"),
    (PROCESS, "unknown_model"): posted(model_name="denoise_x"),
    (PROCESS, "wrong_task"): posted(task_type="denoise", model_name="deblur_b"),
    (PROCESS, "empty_file"): posted(b""),
    (PROCESS, "damaged_image"): posted(b"\x89PNG\r\n\x1a\n" + bytes(20)),
    ("GET /api/image_status/{task_id}", "task_not_found"): lambda client, _: client.get(f"/api/image_status/{TASK_ID}"),
    ("POST /api/tasks/{task_id}/cancel", "task_not_found"): lambda client, _: client.post(
        f"/api/tasks/{TASK_ID}/cancel"
    ),
    ("GET /static_results/{result_name}", "result_not_found"): lambda client, _: client.get("/static_results/a.png"),
}
"""What a client with default settings can run into."""

ELSEWHERE: dict[tuple[str, str], tuple[dict[str, Any], Provoke]] = {
    (PROCESS, "weights_unusable"): ({"weights_dir": "own"}, posted(model_name="mine")),
    (PROCESS, "no_models"): ({"weights_dir": "own"}, posted(task_type="deblur")),
    (PROCESS, "queue_full"): ({"queue_limit": 1, "image_workers": 1}, into_a_full_queue),
    (PROCESS, "disk_full"): ({"min_free_mb": 10**9}, posted()),
}
"""What needs other settings."""


def documented(client: TestClient) -> dict[tuple[str, str], dict[str, Any]]:
    """(operation, code) → the problem that the document shows."""
    return {
        (f"{method.upper()} {path}", code): example["value"]
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
        for answer in operation["responses"].values()
        for code, example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).items()
    }


def comparable(problem: dict[str, Any]) -> dict[str, Any]:
    """Without what depends on the models that are installed, and on the queue's limit."""
    detail = re.sub(r"valid are: .*\.", "valid are: ….", re.sub(r"^\d+ tasks", "… tasks", problem["detail"]))
    return {**problem, "detail": detail, "valid": "valid" in problem}


def check(client: TestClient, answer: httpx.Response, key: tuple[str, str]) -> None:
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code == problem["status"]
    assert comparable(problem) == comparable(documented(client)[key])


def test_each_is_provoked_below(client: TestClient) -> None:
    assert documented(client).keys() == {*PROVOKED, *ELSEWHERE}


@pytest.mark.parametrize("key", PROVOKED, ids="-".join)
def test_they_occur(client: TestClient, png: bytes, key: tuple[str, str]) -> None:
    check(client, PROVOKED[key](client, png), key)


@pytest.mark.parametrize("key", ELSEWHERE, ids="-".join)
def test_they_occur_elsewhere(open_client: OpenClient, png: bytes, tmp_path: Path, key: tuple[str, str]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.safetensors").write_bytes(b"no weights")
    settings, provoke = ELSEWHERE[key]
    if "weights_dir" in settings:
        settings = {**settings, "weights_dir": tmp_path / settings["weights_dir"]}
    with open_client(**settings) as client:
        check(client, provoke(client, png), key)
