from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

Wait = Callable[..., dict[str, Any]]
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


@pytest.mark.parametrize("call", ["cancel", "resume"])
def test_what_is_not_there(client: TestClient, call: str) -> None:
    answer = client.post(f"/api/tasks/nothing/{call}")

    assert answer.status_code == 404
    assert answer.json()["code"] == "task_not_found"


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
