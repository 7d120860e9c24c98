from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from hub.engine import Priority

from .conftest import eventually


def test_controls(client: TestClient) -> None:
    answer = client.get("/api/available_controls")

    assert answer.status_code == 200
    controls = answer.json()
    assert controls["tasks"]["denoise"]["display_name"] == "Denoise"
    assert controls["tasks"]["deblur"]["display_name"] == "Deblur"
    models = {model["value"]: model for model in controls["tasks"]["denoise"]["models"]}
    assert models["denoise_16"]["installed"] is True
    assert models["denoise_16"]["default"] is True
    assert models["denoise_b"]["installed"] is False
    assert all(model["text"] for model in models.values())
    assert {model["value"] for model in controls["tasks"]["deblur"]["models"]} >= {"deblur_b"}
    assert controls["page_controls"]["image"]["patch_processing"] == {"available": True, "default_checked": True}
    assert set(controls["page_controls"]) == {"live", "image", "video"}


def test_when_models_are_loaded(client: TestClient) -> None:
    assert client.get("/api/model_loading_strategy").json() == {"load_all_on_startup": False}


def test_loading_and_unloading(client: TestClient, post: Callable[..., str], wait: Callable[..., Any]) -> None:
    hub = client.app.state.hub  # type: ignore[attr-defined]
    wait(client, post())  # Whatever was to be loaded at the start is there.

    for names in (["denoise_16"], []):
        loaded = client.post("/api/load_models", json={"model_names": names})
        assert (loaded.status_code, loaded.json()) == (200, {"loaded_models": ["denoise_16"]})
    status = client.get("/api/loaded_models_status").json()
    models = {model["name"]: model for model in status["models"]}
    assert models["denoise_16"]["loaded"] is True
    assert models["denoise_16"]["bytes"] > 0
    assert models["denoise_16"]["backend"]
    assert (models["denoise_b"]["installed"], models["denoise_b"]["loaded"]) == (False, False)
    assert status["device"]["memory_total"] > status["device"]["model_memory_used"] > 0
    assert status["device"]["model_memory_budget"] == hub.settings.model_memory_mb * 1_000_000

    eventually(
        lambda: (
            client.post("/api/unload_models", json={}).json()
            in (
                {"unloaded_models": ["denoise_16"], "skipped_models": []},
                {"unloaded_models": [], "skipped_models": []},
            )
        )
    )
    assert not any(model["loaded"] for model in client.get("/api/loaded_models_status").json()["models"])


def test_a_model_in_use_is_not_pulled_away(client: TestClient) -> None:
    hub = client.app.state.hub  # type: ignore[attr-defined]
    client.post("/api/load_models", json={"model_names": ["denoise_16"]})
    with hub._networks.session("denoise_16", Priority.IMAGE):
        answer = client.post("/api/unload_models", json={"model_names": ["denoise_16"]})
        assert answer.json() == {"unloaded_models": [], "skipped_models": ["denoise_16"]}
        assert {m["name"]: m["in_use"] for m in client.get("/api/loaded_models_status").json()["models"]}[
            "denoise_16"
        ] == 1


@pytest.mark.parametrize("call", ["load_models", "unload_models", "install_models"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model_names": ["denoise_x"]}, 422),
        ({"model_names": "denoise_16"}, 422),
        ({"model_names": [None]}, 422),
        ({"model_names": ["\0"]}, 422),
        ({"model_names": ["x"] * 1001}, 422),
        ([], 422),
    ],
)
def test_names_that_are_none(client: TestClient, call: str, body: Any, status: int) -> None:
    answer = client.post(f"/api/{call}", json=body)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_installing_is_a_task(client: TestClient) -> None:
    """Of models that are there already, so it is done at once."""
    headers = {"Idempotency-Key": "an install"}
    answer = client.post("/api/install_models", json={"model_names": ["denoise_16"]}, headers=headers)

    assert answer.status_code == 202, answer.text
    task_id = answer.json()["task_id"]
    assert answer.json()["message"] == "Model installation task started."
    assert answer.headers["Location"] == f"/api/tasks/{task_id}"
    again = client.post("/api/install_models", json={"model_names": ["denoise_16"]}, headers=headers)
    assert again.json()["task_id"] == task_id
    eventually(lambda: client.get(f"/api/tasks/{task_id}").json()["status"] == "completed")
    task = client.get(f"/api/tasks/{task_id}").json()
    assert (task["kind"], task["task"], task["model_name"], task["filename"]) == (
        "install",
        "install",
        None,
        "denoise_16",
    )
    assert task["result"]["already_installed"] == ["denoise_16"]
    assert "result_path" not in task
    cancelled = client.post(f"/api/tasks/{task_id}/cancel").json()
    assert cancelled == {"status": "completed", "progress": 100, "result": task["result"]}
    assert f"data: {json.dumps(cancelled, separators=(',', ':'))}\n" in client.get(f"/api/tasks/{task_id}/events").text
    assert client.get(f"/api/image_status/{task_id}").status_code == 404
    assert task in client.get("/api/tasks?kind=install").json()["tasks"]
    assert client.delete(f"/api/tasks/{task_id}").status_code == 204


def test_an_install_that_cannot_be_fetched_fails(client: TestClient) -> None:
    task_id = client.post("/api/install_models", json={"model_names": ["deblur_b"]}).json()["task_id"]

    eventually(lambda: client.get(f"/api/tasks/{task_id}").json()["status"] == "failed", 60)

    task = client.get(f"/api/tasks/{task_id}").json()
    assert task["error"]
    assert task["resumable"] is False
