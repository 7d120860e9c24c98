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
from fastapi.testclient import TestClient

from hub.errors import HubError
from hub.service import Hub
from hub.video.handler import VideoHandler

from .clips import clip, sound_alone
from .test_photos import chunked_png
from .test_tasks import large_png

OpenClient = Callable[..., AbstractContextManager[TestClient]]
Provoke = Callable[[TestClient], httpx.Response]

TASK_ID = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"


@dataclass(frozen=True)
class Route:
    """One of the two that take a file."""

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
        (folder / "clip.mp4").write_bytes(bytes(1000))
        return client.get("/static_results/clip.mp4", headers={"Range": range_})

    return provoke


PHOTOS = Route("/api/process_image", "image_file", "a.png", large_png)
VIDEOS = Route("/api/process_video", "video_file", "a.mp4", lambda: clip(60, scale=2))
IMAGE, VIDEO = f"POST {PHOTOS.path}", f"POST {VIDEOS.path}"

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
    ("GET /api/image_status/{task_id}", "task_not_found"): lambda client: client.get(f"/api/image_status/{TASK_ID}"),
    ("GET /api/video_status/{task_id}", "task_not_found"): lambda client: client.get(f"/api/video_status/{TASK_ID}"),
    ("POST /api/tasks/{task_id}/cancel", "task_not_found"): lambda client: client.post(f"/api/tasks/{TASK_ID}/cancel"),
    ("POST /api/tasks/{task_id}/resume", "task_not_found"): lambda client: client.post(f"/api/tasks/{TASK_ID}/resume"),
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
        },
    ),
    (
        {"queue_limit": 1, "image_workers": 1},
        {
            (IMAGE, "queue_full"): PHOTOS.fill_the_queue,
            (VIDEO, "queue_full"): VIDEOS.fill_the_queue,
            ("POST /api/tasks/{task_id}/resume", "queue_full"): resume_into_a_full_queue,
        },
    ),
    (
        {"min_free_mb": 10**9},
        {(IMAGE, "disk_full"): PHOTOS.post(b"x"), (VIDEO, "disk_full"): VIDEOS.post(b"x")},
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
    """Without what depends on the models that are installed, on the queue's limit, and on numbers of frames."""
    detail = re.sub(r"^\d+ tasks|(?<=has )[\d,]+(?= frames)", "…", problem["detail"])
    if problem["code"] == "too_many_frames":
        detail = re.sub(r"(?<=at most )[\d,]+", "…", detail)
        problem = {**problem, "frames": ..., "max_frames": ...}
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
