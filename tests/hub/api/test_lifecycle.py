from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote, unquote

import pytest
from fastapi.testclient import TestClient

from .clips import clip
from .test_photos import chunked_png

OpenClient = Callable[..., AbstractContextManager[TestClient]]
Post = Callable[..., str]
Wait = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("written", [str, unquote, quote], ids=["as told", "plain", "encoded once more"])
def test_confirming_a_download(client: TestClient, post: Post, wait: Wait, written: Callable[[str], str]) -> None:
    path = wait(client, post(filename="été 100% sûr.png"))["result_path"]

    first = client.post("/api/confirm_download", json={"result_path": written(path)})

    if written is quote and quote(path) != path:
        # Encoded twice it is the name of another file.
        assert first.status_code == 404
        return
    again = client.post("/api/confirm_download", json={"result_path": path})
    assert (first.status_code, first.json()) == (200, {"message": "Download confirmed."})
    assert (again.status_code, again.json()) == (200, {"message": "Download was already confirmed."})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/static_results/images/denoise/processed/1_a_b_enhanced_no.png",
        "/static_results/../hub.sqlite3",
        "http://127.0.0.1:8000/static_results/images/denoise/processed/1_a_b_enhanced_no.png",
        "\0",
        "%00",
        "%",
        "%ff%fe",
        "a" * 4096,
    ],
)
def test_confirming_what_is_no_result(client: TestClient, path: str) -> None:
    answer = client.post("/api/confirm_download", json={"result_path": path})

    assert answer.status_code == 404
    assert answer.json()["code"] == "result_not_found"


@pytest.mark.parametrize("call", ["confirm_download", "task_heartbeat"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{}", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"{nonsense", 422),
        (b'{"result_path": 5, "task_id": 5}', 422),
        (b'{"result_path": null, "task_id": null}', 422),
        (b'{"result_path": "\\ud800", "task_id": "\\ud800"}', 422),
        (b'{"result_path": "%s", "task_id": "%s"}' % (b"a" * 5000, b"a" * 5000), 422),
        (b'{"result_path": "\xff"}', 400),
        (b'{"result_path": %s}' % (b"9" * 5000), 400),
        (b"[" * 30_000, 400),
        (b'{"result_path": "%s"}' % (b"a" * 70_000), 413),
    ],
)
def test_bodies_that_are_wrong(client: TestClient, call: str, body: bytes, status: int) -> None:
    answer = client.post(f"/api/{call}", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert ("errors" in problem) == (status == 422)


def test_a_body_of_another_type(client: TestClient) -> None:
    answer = client.post("/api/task_heartbeat", content=b'{"task_id": "a"}', headers={"Content-Type": "text/plain"})

    assert answer.status_code == 422
    assert "application/json" in answer.json()["detail"]


def test_heartbeats_are_for_results(client: TestClient, post: Post, wait: Wait) -> None:
    task_id = post()
    wait(client, task_id)

    answer = client.post("/api/task_heartbeat", json={"task_id": task_id})

    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    unknown = client.post("/api/task_heartbeat", json={"task_id": "nothing"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "task_not_found")


def test_a_failed_task_has_no_result_to_keep(client: TestClient, wait: Wait) -> None:
    damaged = chunked_png(100, 100, b"this was never compressed" * 40)
    answer = client.post("/api/process_image", files={"image_file": ("a.png", damaged)})
    task_id = answer.json()["task_id"]
    assert wait(client, task_id)["status"] == "failed"

    heartbeat = client.post("/api/task_heartbeat", json={"task_id": task_id})

    assert (heartbeat.status_code, heartbeat.json()["code"]) == (404, "result_not_found")


def test_clearing(open_client: OpenClient, png: bytes, wait: Wait) -> None:
    with open_client(abandoned_minutes=60, heartbeat_minutes=0, keep_image_minutes=0, keep_video_minutes=0) as client:
        files = {"image_file": ("a.png", png)}
        kept, confirmed = (client.post("/api/process_image", files=files).json()["task_id"] for _ in range(2))
        clip_id = client.post("/api/process_video", files={"video_file": ("a.mp4", clip(3))}).json()["task_id"]
        paths = {
            task_id: wait(client, task_id, kind=kind)["result_path"]
            for task_id, kind in ((kept, "image"), (confirmed, "image"), (clip_id, "video"))
        }
        for task_id in (confirmed, clip_id):
            client.post("/api/confirm_download", json={"result_path": paths[task_id]})

        used = client.get("/api/cache_status").json()
        assert (used["image_results"], used["video_results"]) == (2, 1)
        assert used["image_cache_mb"] > 0
        assert used["video_cache_mb"] > 0
        assert used["free_mb"] > 0

        cleared = client.post("/api/clear_cache?clear_videos=false").json()
        assert cleared == {
            "cleared_count": 1,
            "skipped_in_progress_count": 0,
            "skipped_awaiting_download_count": 1,
        }
        assert client.get(paths[confirmed]).status_code == 404
        assert client.get(paths[kept]).status_code == 200
        assert client.get(paths[clip_id]).status_code == 200

        assert client.post("/api/clear_cache").json()["cleared_count"] == 1
        assert client.get(paths[clip_id]).status_code == 404
        assert client.get(f"/api/tasks/{clip_id}").status_code == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("clear_images=false&clear_videos=false", 400),
        ("clear_images=0&clear_videos=off", 400),
        ("clear_images=no?", 422),
    ],
)
def test_clearing_nothing(client: TestClient, query: str, status: int) -> None:
    answer = client.post(f"/api/clear_cache?{query}")

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
