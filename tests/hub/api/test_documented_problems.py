"""Every error that the OpenAPI document shows, provoked: its code, its words and its members are the real ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import CapacityLimiter
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from hub.api.lanes import UPKEEP, USAGE, Lane
from hub.errors import HubError
from hub.service import Hub
from hub.video.handler import VideoHandler

from .clips import clip, sound_alone
from .test_photos import chunked_png
from .test_tasks import large_png

OpenClient = Callable[..., AbstractContextManager[TestClient]]
Provoke = Callable[[TestClient], httpx.Response]

DAMAGED_INSIDE = chunked_png(100, 100, b"this was never compressed" * 40)
"""A photo that is accepted, and fails at once."""
TASK_ID = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"


@dataclass(frozen=True)
class Route:
    """One of those that take a file."""

    path: str
    field: str
    filename: str
    slow_file: Callable[[], bytes]

    def post(self, content: bytes, **fields: str) -> Provoke:
        def provoke(client: TestClient) -> httpx.Response:
            return client.post(self.path, files={self.field: (self.filename, content)}, data=fields)

        return provoke

    def post_nonsense(self, client: TestClient) -> httpx.Response:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return client.post(self.path, content=b"nonsense", headers=headers)

    def post_no_file(self, client: TestClient) -> httpx.Response:
        return client.post(self.path, data={"task_type": "denoise"})

    def announce_too_much(self, client: TestClient) -> httpx.Response:
        return client.post(self.path, content=b"x", headers={"Content-Length": "600000000"})

    def fill_the_queue(self, client: TestClient) -> httpx.Response:
        content = self.slow_file()
        answers = [self.post(content)(client) for _ in range(4)]
        cancel_all(client)
        return next(answer for answer in answers if answer.status_code == 503)


def cancel_all(client: TestClient) -> None:
    for view in client.app.state.hub.manager.list():  # type: ignore[attr-defined]
        client.post(f"/api/tasks/{view.job.id}/cancel")


def resume_into_a_full_queue(client: TestClient) -> httpx.Response:
    """A failed clip is resumed while photos wait."""
    hub: Hub = client.app.state.hub  # type: ignore[attr-defined]

    def fail(*_: object) -> None:
        raise HubError("out_of_memory", "The machine has too little free memory.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VideoHandler, "__call__", fail)
        task_id = VIDEOS.post(clip(2))(client).json()["task_id"]
        assert hub.manager.wait(task_id, 30).job.status == "failed"
    while PHOTOS.post(large_png())(client).status_code == 202:
        pass
    answer = client.post(f"/api/tasks/{task_id}/resume")
    cancel_all(client)
    return answer


def resume_a_cancelled_task(client: TestClient) -> httpx.Response:
    task_id = VIDEOS.post(clip(30, scale=2))(client).json()["task_id"]
    client.post(f"/api/tasks/{task_id}/cancel")
    client.app.state.hub.manager.wait(task_id, 60)  # type: ignore[attr-defined]
    return client.post(f"/api/tasks/{task_id}/resume")


def ask_for(range_: str) -> Provoke:
    """Asks for a part of a result."""

    def provoke(client: TestClient) -> httpx.Response:
        folder = client.app.state.hub.settings.resolved_results_dir  # type: ignore[attr-defined]
        name = f"videos/denoise/processed/1_a1b2c3d4_{'0' * 24}_enhanced_clip.mp4"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(1000))
        return client.get(f"/static_results/{name}", headers={"Range": range_})

    return provoke


def without_database(call: Provoke) -> Provoke:
    """The same call while the database does not answer."""

    class Away:
        def begin(self) -> None:
            raise OperationalError("SELECT 1", None, Exception("database is locked"))

    def provoke(client: TestClient) -> httpx.Response:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client.app.state.hub._store, "_engine", Away())  # type: ignore[attr-defined]
            return call(client)

    return provoke


def delete_what_does_not_stop(client: TestClient) -> httpx.Response:
    task_id = PHOTOS.post(DAMAGED_INSIDE)(client).json()["task_id"]
    with pytest.MonkeyPatch.context() as patch:
        runs = client.app.state.hub.manager._runs  # type: ignore[attr-defined]
        patch.setattr(runs._changed, "wait_for", lambda *_: False)
        return client.delete(f"/api/tasks/{task_id}")


def heartbeat_for_what_failed(client: TestClient) -> httpx.Response:
    task_id = PHOTOS.post(DAMAGED_INSIDE)(client).json()["task_id"]
    client.app.state.hub.manager.wait(task_id, 60)  # type: ignore[attr-defined]
    return client.post("/api/task_heartbeat", json={"task_id": task_id})


def preview_while_others_wait(client: TestClient) -> httpx.Response:
    lane = client.app.state.hub.decoder._previews  # type: ignore[attr-defined]
    taken = lane.take()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lane, "wait", 0.1)
            return PREVIEWS.post(b"x")(client)
    finally:
        lane.slots.put(taken)


def load_while_others_load(client: TestClient) -> httpx.Response:
    with client.app.state.hub.models._loading:  # type: ignore[attr-defined]
        return client.post("/api/load_models", json={"model_names": ["denoise_16"]})


def behind_long_calls(method: str, path: str, lane: Lane = UPKEEP, **body: Any) -> Provoke:
    """A call while all threads of its lane are taken."""

    def full() -> CapacityLimiter:
        limiter = CapacityLimiter(1)
        limiter.acquire_on_behalf_of_nowait(object())
        return limiter

    def provoke(client: TestClient) -> httpx.Response:
        task_id = PHOTOS.post(DAMAGED_INSIDE)(client).json()["task_id"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lane, "_patience", 0.01)
            patch.setattr(lane, "_of_this_loop", full)
            return client.request(method, path.format(task_id=task_id), **body)

    return provoke


def install_with_a_full_queue(client: TestClient) -> httpx.Response:
    while PHOTOS.post(large_png())(client).status_code == 202:
        pass
    answer = client.post("/api/install_models", json={"model_names": ["denoise_b"]})
    cancel_all(client)
    return answer


def send_json(path: str, content: bytes | None) -> Provoke:
    headers = {"Content-Type": "application/json"}
    return lambda client: client.post(path, content=content, headers=headers)


def reuse_a_key(client: TestClient, path: str, **other: Any) -> httpx.Response:
    """A key that was used for a photo is used for something else."""
    headers = {"Idempotency-Key": "used"}
    client.post(PHOTOS.path, files={"image_file": ("a.png", DAMAGED_INSIDE)}, headers=headers)
    return client.post(path, headers=headers, **other)


PREVIEWS = Route("/api/generate_preview", "image_file", "a.png", large_png)
PHOTOS = Route("/api/process_image", "image_file", "a.png", large_png)
VIDEOS = Route("/api/process_video", "video_file", "a.mp4", lambda: clip(60, scale=2))
IMAGE, VIDEO, PREVIEW = f"POST {PHOTOS.path}", f"POST {VIDEOS.path}", f"POST {PREVIEWS.path}"
TASK_CALLS = {
    f"{method} {path}": (lambda client, method=method, path=path: client.request(method, path.format(task_id=TASK_ID)))
    for method, path in (
        ("GET", "/api/image_status/{task_id}"),
        ("GET", "/api/video_status/{task_id}"),
        ("GET", "/api/tasks/{task_id}"),
        ("DELETE", "/api/tasks/{task_id}"),
        ("GET", "/api/tasks/{task_id}/events"),
        ("POST", "/api/tasks/{task_id}/cancel"),
        ("POST", "/api/tasks/{task_id}/resume"),
    )
}
CONFIRM, HEARTBEAT = "POST /api/confirm_download", "POST /api/task_heartbeat"
LOAD, UNLOAD, INSTALL = (f"POST /api/{verb}_models" for verb in ("load", "unload", "install"))
CLEAR = "POST /api/clear_cache"
NO_RESULT = "/static_results/images/denoise/processed/1_a1b2c3d4_no_enhanced_a.png"
WITH_DATABASE: dict[str, Provoke] = {
    **TASK_CALLS,
    IMAGE: PHOTOS.post(DAMAGED_INSIDE),
    VIDEO: VIDEOS.post(clip(2)),
    "GET /api/tasks": lambda client: client.get("/api/tasks"),
    CONFIRM: lambda client: client.post("/api/confirm_download", json={"result_path": f"{NO_RESULT[:-5]}{'0' * 24}"}),
    HEARTBEAT: lambda client: client.post("/api/task_heartbeat", json={"task_id": TASK_ID}),
    "GET /api/cache_status": lambda client: client.get("/api/cache_status"),
    CLEAR: lambda client: client.post("/api/clear_cache"),
    INSTALL: lambda client: client.post("/api/install_models", json={"model_names": ["denoise_b"]}),
}

PROVOKED: dict[tuple[str, str], Provoke] = {
    **{
        (f"POST {route.path}", code): provoke
        for route in (PHOTOS, VIDEOS)
        for code, provoke in {
            "bad_request": route.post_nonsense,
            "weights_not_installed": route.post(b"x", model_name="denoise_b"),
            "upload_too_large": route.announce_too_much,
            "invalid_request": route.post_no_file,
            "unknown_task": route.post(b"x", task_type="sharpen"),
            "unknown_model": route.post(b"x", model_name="denoise_x"),
            "wrong_task": route.post(b"x", task_type="denoise", model_name="deblur_b"),
            "empty_file": route.post(b""),
        }.items()
    },
    (IMAGE, "too_many_pixels"): PHOTOS.post(chunked_png(20_000, 20_000, b"")),
    (IMAGE, "not_an_image"): PHOTOS.post(b"%PDF-1.7 this is no photo"),
    (IMAGE, "damaged_image"): PHOTOS.post(b"\x89PNG\r\n\x1a\n" + bytes(20)),
    (VIDEO, "too_many_pixels"): VIDEOS.post(clip(1, scale=64, sound=False)),
    (VIDEO, "too_long"): VIDEOS.post(clip(3, rate=Fraction(1, 6000), sound=False)),
    (VIDEO, "not_a_video"): VIDEOS.post(b"%PDF-1.7 this is no clip"),
    (VIDEO, "no_video_stream"): VIDEOS.post(sound_alone()),
    (VIDEO, "damaged_video"): VIDEOS.post(clip()[:-3000]),
    (VIDEO, "picture_too_large"): VIDEOS.post(clip(1, tall=91, sound=False), codec="av1"),
    (VIDEO, "invalid_range"): VIDEOS.post(clip(sound=False), start="2.5"),
    **{(operation, "task_not_found"): call for operation, call in TASK_CALLS.items()},
    **{(operation, "database_unavailable"): without_database(call) for operation, call in WITH_DATABASE.items()},
    (IMAGE, "idempotency_key_reused"): lambda client: reuse_a_key(
        client, PHOTOS.path, files={"image_file": ("a.png", b"x")}
    ),
    (VIDEO, "idempotency_key_reused"): lambda client: reuse_a_key(
        client, VIDEOS.path, files={"video_file": ("a.mp4", b"x")}
    ),
    (INSTALL, "idempotency_key_reused"): lambda client: reuse_a_key(client, "/api/install_models", json={}),
    **{
        (PREVIEW, code): provoke
        for code, provoke in {
            "bad_request": PREVIEWS.post_nonsense,
            "upload_too_large": PREVIEWS.announce_too_much,
            "invalid_request": PREVIEWS.post_no_file,
            "empty_file": PREVIEWS.post(b""),
            "too_many_pixels": PREVIEWS.post(chunked_png(20_000, 20_000, b"")),
            "not_an_image": PREVIEWS.post(b"%PDF-1.7 this is no photo"),
            "damaged_image": PREVIEWS.post(b"\x89PNG\r\n\x1a\n" + bytes(20)),
            "decoder_busy": preview_while_others_wait,
        }.items()
    },
    ("GET /api/tasks", "invalid_cursor"): lambda client: client.get(f"/api/tasks?before={TASK_ID}"),
    ("GET /api/tasks", "invalid_request"): lambda client: client.get("/api/tasks?limit=101"),
    ("DELETE /api/tasks/{task_id}", "task_still_stopping"): delete_what_does_not_stop,
    (CONFIRM, "result_not_found"): lambda client: client.post("/api/confirm_download", json={"result_path": NO_RESULT}),
    (CONFIRM, "invalid_request"): send_json("/api/confirm_download", b"{}"),
    (HEARTBEAT, "task_not_found"): WITH_DATABASE[HEARTBEAT],
    (HEARTBEAT, "result_not_found"): heartbeat_for_what_failed,
    (HEARTBEAT, "invalid_request"): send_json("/api/task_heartbeat", b"{}"),
    (CLEAR, "bad_request"): lambda client: client.post("/api/clear_cache?clear_images=false&clear_videos=false"),
    (CLEAR, "invalid_request"): lambda client: client.post("/api/clear_cache?clear_images=perhaps"),
    **{
        (operation, "bad_request"): send_json(operation.partition(" ")[2], b'{"task_id": "\xff"}')
        for operation in (CONFIRM, HEARTBEAT, LOAD, UNLOAD, INSTALL)
    },
    **{
        (operation, code): send_json(operation.partition(" ")[2], content)
        for operation in (LOAD, UNLOAD, INSTALL)
        for code, content in {"invalid_request": None, "unknown_model": b'{"model_names": ["denoise_x"]}'}.items()
    },
    (LOAD, "weights_not_installed"): send_json("/api/load_models", b'{"model_names": ["denoise_b"]}'),
    (LOAD, "models_loading"): load_while_others_load,
    (LOAD, "server_busy"): behind_long_calls("POST", "/api/load_models", json={"model_names": ["denoise_16"]}),
    (CLEAR, "server_busy"): behind_long_calls("POST", "/api/clear_cache"),
    ("GET /api/cache_status", "server_busy"): behind_long_calls("GET", "/api/cache_status", USAGE),
    ("DELETE /api/tasks/{task_id}", "server_busy"): behind_long_calls("DELETE", "/api/tasks/{task_id}"),
    ("POST /api/tasks/{task_id}/resume", "server_busy"): behind_long_calls("POST", "/api/tasks/{task_id}/resume"),
    ("POST /api/tasks/{task_id}/resume", "not_resumable"): resume_a_cancelled_task,
    ("GET /static_results/{result_name}", "result_not_found"): lambda client: client.get("/static_results/a.png"),
    ("GET /static_results/{result_name}", "bad_request"): ask_for("pages=1-2"),
    ("GET /static_results/{result_name}", "range_not_satisfiable"): ask_for("bytes=5000000-"),
}
"""What a client with default settings can run into."""

ELSEWHERE: list[tuple[dict[str, Any], dict[tuple[str, str], Provoke]]] = [
    (
        {"weights_dir": "own"},
        {
            (f"POST {route.path}", code): provoke
            for route in (PHOTOS, VIDEOS)
            for code, provoke in {
                "weights_unusable": route.post(b"x", model_name="mine"),
                "no_models": route.post(b"x", task_type="deblur"),
            }.items()
        }
        | {(INSTALL, "weights_unusable"): send_json("/api/install_models", b'{"model_names": ["mine"]}')},
    ),
    (
        {"operator_keys": ["the-operators-own-key"]},
        {(INSTALL, "operators_only"): send_json("/api/install_models", b'{"model_names": ["denoise_b"]}')},
    ),
    (
        {"queue_limit": 1, "image_workers": 1},
        {
            (IMAGE, "queue_full"): PHOTOS.fill_the_queue,
            (VIDEO, "queue_full"): VIDEOS.fill_the_queue,
            ("POST /api/tasks/{task_id}/resume", "queue_full"): resume_into_a_full_queue,
            (INSTALL, "queue_full"): install_with_a_full_queue,
        },
    ),
    (
        {"min_free_mb": 10**9},
        {
            (IMAGE, "disk_full"): PHOTOS.post(b"x"),
            (VIDEO, "disk_full"): VIDEOS.post(b"x"),
            (PREVIEW, "disk_full"): PREVIEWS.post(b"x"),
        },
    ),
    ({"max_video_frames": 5}, {(VIDEO, "too_many_frames"): VIDEOS.post(clip())}),
]
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
    """Without what depends on the models that are installed, on limits, times and ids, and on numbers of frames."""
    detail = re.sub(r"^\d+ tasks|(?<=has )[\d,]+(?= frames)|(?<=waited )[\d.]+", "…", problem["detail"])
    detail = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", detail)
    if problem["code"] == "too_many_frames":
        detail = re.sub(r"(?<=at most )[\d,]+", "…", detail)
        problem = {**problem, "frames": ..., "max_frames": ...}
    if "task_id" in problem:
        problem = {**problem, "task_id": ...}
    return {**problem, "detail": re.sub(r"valid are: .*\.", "valid are: ….", detail), "valid": "valid" in problem}


def check(client: TestClient, answer: httpx.Response, key: tuple[str, str]) -> None:
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code == problem["status"]
    assert comparable(problem) == comparable(documented(client)[key])


def test_each_is_provoked_below(client: TestClient) -> None:
    assert documented(client).keys() == {*PROVOKED, *(key for _, provoked in ELSEWHERE for key in provoked)}


@pytest.mark.parametrize("key", PROVOKED, ids="-".join)
def test_they_occur(client: TestClient, key: tuple[str, str]) -> None:
    check(client, PROVOKED[key](client), key)


@pytest.mark.parametrize(("settings", "provoked"), ELSEWHERE, ids=lambda value: "-".join(map(str, value)))
def test_they_occur_elsewhere(
    open_client: OpenClient, tmp_path: Path, settings: dict[str, Any], provoked: dict[tuple[str, str], Provoke]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.safetensors").write_bytes(b"no weights")
    if "weights_dir" in settings:
        settings = {**settings, "weights_dir": tmp_path / settings["weights_dir"]}
    with open_client(**settings) as client:
        for key, provoke in provoked.items():
            check(client, provoke(client), key)
