from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from .clips import clip

Wait = Callable[..., dict[str, Any]]
Post = Callable[..., str]
OpenClient = Callable[..., AbstractContextManager[TestClient]]


def large_png() -> bytes:
    """A photo that takes much longer than a moment."""
    noise = np.random.default_rng(1).integers(0, 256, (1500, 2000, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "png", compress_level=1)
    return file.getvalue()


def test_cancel_while_running_and_while_pending(open_client: OpenClient, png: bytes) -> None:
    with open_client(image_workers=1) as client:
        running = client.post("/api/process_image", files={"image_file": ("a.png", large_png())}).json()["task_id"]
        waiting = client.post("/api/process_image", files={"image_file": ("b.png", png)}).json()["task_id"]
        deadline = time.monotonic() + 60
        while client.get(f"/api/image_status/{running}").json()["status"] == "pending":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        status = client.get(f"/api/image_status/{waiting}").json()
        assert status["status"] == "pending"
        assert status["queue_position"] == 1

        for task_id in (waiting, running):
            answer = client.post(f"/api/tasks/{task_id}/cancel")
            assert answer.status_code == 200
            assert answer.json()["status"] == "cancelled"
            assert client.post(f"/api/tasks/{task_id}/cancel").json()["status"] == "cancelled"
            assert client.get(f"/api/image_status/{task_id}").json()["status"] == "cancelled"

        # The worker is free again at once.
        after = client.post("/api/process_image", files={"image_file": ("c.png", png)}).json()["task_id"]
        hub = client.app.state.hub  # type: ignore[attr-defined]
        assert hub.manager.wait(after, 60).job.status == "completed"
        assert not list((hub.settings.data_dir / "uploads" / running).glob("*"))


def test_cancelling_a_finished_task_changes_nothing(client: TestClient, post: Callable[..., str], wait: Wait) -> None:
    task_id = post()
    finished = wait(client, task_id)

    answer = client.post(f"/api/tasks/{task_id}/cancel")

    assert answer.status_code == 200
    assert answer.json() == finished


@pytest.mark.parametrize("task_id", ["nothing", "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890", "%00", "..%2f..", "%ff"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/tasks/{}/cancel"),
        ("POST", "/api/tasks/{}/resume"),
        ("GET", "/api/tasks/{}/events"),
        ("GET", "/api/tasks/{}"),
        ("DELETE", "/api/tasks/{}"),
        ("GET", "/api/image_status/{}"),
        ("GET", "/api/video_status/{}"),
    ],
)
def test_what_is_not_there(client: TestClient, method: str, path: str, task_id: str) -> None:
    answer = client.request(method, path.format(task_id))

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    # A path with a slash in it is another path.
    assert answer.json()["code"] in ("task_not_found", "not_found" if "%2f" in task_id else "")


def test_a_completed_task_is_not_resumed(client: TestClient, post: Callable[..., str], wait: Wait) -> None:
    task_id = post()
    finished = wait(client, task_id)

    answer = client.post(f"/api/tasks/{task_id}/resume")

    assert answer.status_code == 409
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["task_status"]) == ("not_resumable", 409, "completed")
    assert client.get(f"/api/image_status/{task_id}").json() == finished


def test_a_full_queue_accepts_nothing(open_client: OpenClient, png: bytes) -> None:
    with open_client(image_workers=1, queue_limit=1) as client:
        files = {"image_file": ("a.png", large_png())}
        answers = [client.post("/api/process_image", files=files) for _ in range(4)]

        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert refused[0].json()["code"] == "queue_full"
        accepted = [answer.json()["task_id"] for answer in answers if answer.status_code == 202]
        assert 1 <= len(accepted) <= 2
        hub = client.app.state.hub  # type: ignore[attr-defined]
        assert {path.name for path in (hub.settings.data_dir / "uploads").iterdir()} == set(accepted)
        for task_id in accepted:
            client.post(f"/api/tasks/{task_id}/cancel")


def test_a_deleted_task_is_gone_with_its_files(client: TestClient, post: Post, wait: Wait) -> None:
    task_id = post()
    path = wait(client, task_id)["result_path"]
    hub = client.app.state.hub  # type: ignore[attr-defined]

    answer = client.delete(f"/api/tasks/{task_id}")

    assert answer.status_code == 204
    assert answer.content == b""
    assert client.get(path).status_code == 404
    assert client.get(f"/api/image_status/{task_id}").status_code == 404
    assert not (hub.settings.data_dir / "uploads" / task_id).exists()
    assert client.delete(f"/api/tasks/{task_id}").json()["code"] == "task_not_found"


def test_a_running_task_is_cancelled_and_deleted(client: TestClient) -> None:
    task_id = client.post("/api/process_image", files={"image_file": ("a.png", large_png())}).json()["task_id"]

    assert client.delete(f"/api/tasks/{task_id}").status_code == 204

    assert client.get(f"/api/tasks/{task_id}").status_code == 404
    hub = client.app.state.hub  # type: ignore[attr-defined]
    assert task_id not in hub.files.stored_ids()


def test_a_task_stands_beside_its_status(client: TestClient, post: Post, wait: Wait) -> None:
    before = datetime.now(UTC)
    task_id = post(filename="../Ferien.png", model_name="denoise_16")
    status = wait(client, task_id)

    task = client.get(f"/api/tasks/{task_id}").json()

    assert {name: task[name] for name in status} == status
    times = [datetime.fromisoformat(task.pop(name)) for name in ("created_at", "started_at", "finished_at")]
    times = [before, *times, datetime.now(UTC)]
    assert times == sorted(times)
    assert {name: task[name] for name in task if name not in status} == {
        "task_id": task_id,
        "kind": "image",
        "task": "denoise",
        "model_name": "denoise_16",
        "filename": "Ferien.png",
    }


def test_tasks_are_listed_newest_first_in_pages(client: TestClient, post: Post, wait: Wait) -> None:
    sent = [post() for _ in range(3)]
    clip_id = client.post("/api/process_video", files={"video_file": ("a.mp4", clip(3))}).json()["task_id"]
    for task_id in sent:
        wait(client, task_id)
    wait(client, clip_id, kind="video")

    listed: list[dict[str, Any]] = []
    before = ""
    while before is not None:
        page = client.get("/api/tasks", params={"limit": 2, **({"before": before} if before else {})}).json()
        assert len(page["tasks"]) == 2 or page["next"] is None
        listed += page["tasks"]
        before = page["next"]

    ids = [task["task_id"] for task in listed]
    assert ids[:4] == [clip_id, *reversed(sent)]
    assert len(ids) == len(set(ids)) == len(client.app.state.hub.manager.list(limit=1000))  # type: ignore[attr-defined]
    newest = listed[0]
    assert newest == client.get(f"/api/tasks/{clip_id}").json()
    assert (newest["kind"], newest["result"]["frames"]) == ("video", 3)
    assert client.get("/api/tasks?kind=video").json()["tasks"][0] == newest
    done = client.get("/api/tasks?kind=image&status=completed&limit=3").json()["tasks"]
    assert [task["task_id"] for task in done] == [*reversed(sent)]


def test_a_page_goes_on_where_a_deleted_task_was(client: TestClient, post: Post, wait: Wait) -> None:
    sent = [post() for _ in range(3)]
    for task_id in sent:
        wait(client, task_id)
    first = client.get("/api/tasks?limit=2").json()
    assert client.delete(f"/api/tasks/{sent[1]}").status_code == 204

    second = client.get("/api/tasks", params={"limit": 1, "before": first["next"]}).json()

    assert [task["task_id"] for task in (*first["tasks"], *second["tasks"])] == sent[::-1]


@pytest.mark.parametrize("cursor", ["", "x", "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890", "bmFuIHg", "%00", "%ff", "=" * 9])
def test_a_cursor_that_is_none(client: TestClient, cursor: str) -> None:
    answer = client.get(f"/api/tasks?before={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", f"limit={'9' * 5000}", "kind=photo", "status=done"]
)
def test_what_cannot_be_listed(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/tasks?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query", query.partition("=")[0]]


MINE, YOURS = "my-key-which-is-long", "your-key-which-is-long"


def test_a_task_is_visible_to_its_key_alone(open_client: OpenClient, png: bytes, wait: Wait) -> None:
    with open_client(api_keys=[MINE, YOURS]) as client:
        client.headers["X-API-Key"] = MINE
        task_id = client.post("/api/process_image", files={"image_file": ("a.png", png)}).json()["task_id"]
        result_path = wait(client, task_id)["result_path"]
        unknown = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"
        calls = [
            ("GET", "/api/image_status/{}"),
            ("GET", "/api/tasks/{}"),
            ("GET", "/api/tasks/{}/events"),
            ("POST", "/api/tasks/{}/cancel"),
            ("POST", "/api/tasks/{}/resume"),
            ("DELETE", "/api/tasks/{}"),
        ]

        client.headers["X-API-Key"] = YOURS
        for method, path in calls:
            hidden, missing = (client.request(method, path.format(name)) for name in (task_id, unknown))
            assert hidden.status_code == missing.status_code == 404, path
            assert hidden.text.replace(task_id, unknown) == missing.text
        hidden, missing = (client.post("/api/task_heartbeat", json={"task_id": name}) for name in (task_id, unknown))
        assert hidden.text.replace(task_id, unknown) == missing.text
        assert client.get("/api/tasks").json()["tasks"] == []
        # Who knows a result's path may read and confirm it.
        assert client.get(result_path).status_code == 200
        assert client.post("/api/confirm_download", json={"result_path": result_path}).status_code == 200

        client.headers["X-API-Key"] = MINE
        assert [task["task_id"] for task in client.get("/api/tasks").json()["tasks"]] == [task_id]
        assert client.post("/api/task_heartbeat", json={"task_id": task_id}).status_code == 200
