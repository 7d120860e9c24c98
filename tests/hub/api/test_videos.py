from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from fastapi.testclient import TestClient

from hub.api.videos import process_video
from hub.errors import HubError
from hub.service import Hub, VideoOptions
from hub.video.options import CODECS

from .clips import HEIGHT, WIDTH, clip, sound, sound_alone, times
from .test_photos import chunked_png

Wait = Callable[..., dict[str, Any]]


def hub_of(client: TestClient) -> Hub:
    hub: Hub = client.app.state.hub  # type: ignore[attr-defined]
    return hub


def stored_files(client: TestClient) -> set[Path]:
    """Every upload and working file of the application's hub, once all that it was given has ended."""
    hub = hub_of(client)
    for view in hub.manager.list():
        hub.manager.wait(view.job.id, 120)
    data_dir = hub.settings.data_dir
    return {path for folder in ("uploads", "jobs") for path in (data_dir / folder).rglob("*")}


def send(client: TestClient, content: bytes, filename: str = "holiday.mp4", **fields: str) -> str:
    """Posts a clip; returns its task's id."""
    answer = client.post("/api/process_video", files={"video_file": (filename, content, "video/mp4")}, data=fields)
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def await_frames(client: TestClient, task_id: str) -> dict[str, Any]:
    """Poll until the first frames are done; returns that status."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status: dict[str, Any] = client.get(f"/api/video_status/{task_id}").json()
        assert status["status"] in ("pending", "processing"), status
        if status.get("frames_done", 0) > 0:
            return status
        time.sleep(0.02)
    raise TimeoutError("No frame was restored.")


def test_a_clip_comes_back_with_its_times_and_sound(client: TestClient, wait: Wait) -> None:
    content = clip()
    answer = client.post("/api/process_video", files={"video_file": ("Été à la mer.mp4", content, "video/mp4")})

    assert answer.status_code == 202
    task_id = answer.json()["task_id"]
    assert answer.json() == {"task_id": task_id, "message": "Video processing task started."}
    assert answer.headers["Location"] == f"/api/video_status/{task_id}"
    assert int(answer.headers["Retry-After"]) >= 1

    status = wait(client, task_id, kind="video")
    assert status["status"] == "completed", status
    assert status["progress"] == 100
    details = status["result"]
    shown = client.get("/openapi.json").json()["components"]["schemas"]["VideoCompletedStatus"]["properties"]
    assert details.keys() == shown["result"]["examples"][0].keys()
    assert (details["width"], details["height"], details["frames"]) == (WIDTH, HEIGHT, 10)
    assert (details["codec"], details["format"], details["audio_streams"]) == ("h264", "mp4", 1)
    assert details["temporal"] is True

    path = status["result_path"]
    assert path.startswith("/static_results/videos/denoise/processed/")
    assert path.endswith(".mp4")
    result = client.get(path)
    assert result.headers["Content-Type"] == "video/mp4"
    assert len(result.content) == details["bytes"]
    assert times(result.content) == times(content)
    assert sound(result.content) == sound(content)

    for range_, part in (("bytes=0-99", result.content[:100]), ("bytes=-50", result.content[-50:])):
        answer = client.get(path, headers={"Range": range_})
        assert (answer.status_code, answer.content) == (206, part)


def test_a_part_of_a_clip_in_another_codec(client: TestClient, wait: Wait) -> None:
    task_id = send(
        client, clip(sound=False), start="0.2", end="0.5", codec="lossless", temporal="false", strength="0.5"
    )
    status = wait(client, task_id, kind="video")

    assert status["status"] == "completed", status
    assert (status["result"]["frames"], status["result"]["temporal"]) == (3, False)
    assert times(client.get(status["result_path"]).content) == pytest.approx([0, 0.1, 0.2])


def test_fields_left_empty_are_not_given(client: TestClient) -> None:
    names = ("model_name", "strength", "codec", "quality", "temporal", "start", "end")
    task_id = send(client, clip(2, sound=False), **dict.fromkeys(names, ""))

    spec = hub_of(client).cancel(task_id).job.spec
    assert VideoOptions.from_spec(spec) == VideoOptions(model_name="denoise_16")


@pytest.mark.parametrize(("word", "smooths"), [("true", True), ("on", True), ("false", False), ("0", False)])
def test_temporal_understands_words(client: TestClient, word: str, smooths: bool) -> None:
    task_id = send(client, clip(2, sound=False), temporal=word)

    assert hub_of(client).cancel(task_id).job.spec["temporal"] is smooths


def test_the_codecs_of_the_route_are_those_of_the_hub() -> None:
    assert get_args(get_type_hints(process_video)["codec"]) == CODECS


@pytest.mark.parametrize(
    "fields",
    [
        {"strength": "1.5"},
        {"quality": "-1"},
        {"quality": "64"},
        {"codec": "mpeg2"},
        {"temporal": "perhaps"},
        {"start": "soon"},
        {"end": "1:30"},
        {"start": "nan"},
        {"end": "inf"},
    ],
)
def test_options_out_of_range(client: TestClient, fields: dict[str, str]) -> None:
    answer = client.post("/api/process_video", files={"video_file": ("a.mp4", clip(2))}, data=fields)

    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    assert problem["errors"][0]["loc"] == ["body", *fields]


@pytest.mark.parametrize("fields", [{"start": "0.8", "end": "0.2"}, {"start": "60"}, {"end": "0"}])
def test_a_range_without_frames(client: TestClient, fields: dict[str, str]) -> None:
    before = stored_files(client)

    answer = client.post("/api/process_video", files={"video_file": ("a.mp4", clip())}, data=fields)

    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_range"
    assert stored_files(client) == before


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"%PDF-1.7 this is no clip" * 100, 415, "not_a_video"),
        (sound_alone(), 415, "no_video_stream"),
    ],
    ids=["empty", "pdf", "sound"],
)
def test_bad_files_are_refused_at_once(client: TestClient, content: bytes, status: int, code: str) -> None:
    before = stored_files(client)

    answer = client.post("/api/process_video", files={"video_file": ("clip.mp4", content, "video/mp4")})

    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert stored_files(client) == before


def test_each_kind_has_its_own_status(client: TestClient, post: Callable[..., str]) -> None:
    photo, video = post(), send(client, clip(2, sound=False))

    for kind, other, own in (("video", photo, video), ("image", video, photo)):
        answer = client.get(f"/api/{kind}_status/{other}")
        assert answer.status_code == 404
        assert answer.json()["code"] == "task_not_found"
        assert client.get(f"/api/{kind}_status/{own}").status_code == 200


def test_a_running_clip_tells_its_frames_lets_photos_pass_and_is_cancelled_whole(
    client: TestClient, post: Callable[..., str], wait: Wait
) -> None:
    task_id = send(client, clip(300, scale=2), temporal="false")
    status = await_frames(client, task_id)

    assert status["status"] == "processing"
    assert status.keys() == {
        "status",
        "progress",
        "message",
        "eta_seconds",
        "frames_done",
        "frames_total",
        "frames_per_second",
    }
    assert status["frames_total"] == 300
    assert status["message"]
    assert wait(client, post())["status"] == "completed"
    assert client.get(f"/api/video_status/{task_id}").json()["status"] == "processing"

    answer = client.post(f"/api/tasks/{task_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert not [path for path in stored_files(client) if task_id in path.parts]
    answer = client.post(f"/api/tasks/{task_id}/resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_resumable")


def test_a_failed_clip_is_resumed(client: TestClient, wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HubError("out_of_memory", "The machine has too little free memory for this clip with this model.")

    with monkeypatch.context() as patch:
        patch.setattr(hub_of(client)._networks, "session", fail)
        task_id = send(client, clip())
        status = wait(client, task_id, kind="video")
    assert status == {
        "status": "failed",
        "error": "The machine has too little free memory for this clip with this model.",
        "code": "out_of_memory",
        "resumable": True,
    }
    assert client.post(f"/api/tasks/{task_id}/cancel").json() == status

    answer = client.post(f"/api/tasks/{task_id}/resume")

    assert answer.status_code == 200
    assert answer.json()["status"] in ("pending", "processing")
    assert client.post(f"/api/tasks/{task_id}/resume").status_code == 409
    assert wait(client, task_id, kind="video")["status"] == "completed"


def test_a_failed_photo_is_sent_again(client: TestClient, wait: Wait) -> None:
    damaged = chunked_png(100, 100, b"this was never compressed" * 40)
    task_id = client.post("/api/process_image", files={"image_file": ("a.png", damaged)}).json()["task_id"]
    assert wait(client, task_id)["resumable"] is False

    answer = client.post(f"/api/tasks/{task_id}/resume")

    assert answer.status_code == 409
    problem = answer.json()
    assert (problem["code"], problem["task_status"]) == ("not_resumable", "failed")
    assert "send the image again" in problem["detail"]
