"""Both clients against the real application."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image

from hub.client import (
    BESIDE,
    AsyncHubClient,
    AsyncTask,
    ConflictError,
    HubClient,
    InvalidError,
    NotFoundError,
    Task,
    TaskCancelled,
    TaskFailed,
    TaskStatus,
    UnsupportedMediaError,
)


def test_a_photo_in_one_call(connect: Any, address: str, photo: Path) -> None:
    told: list[TaskStatus] = []
    target = photo.parent / "restored.jpg"
    result = connect(address).denoise(photo, to=target, output_format="jpeg", progress=told.append)
    assert result.path == target
    assert result.filename == "enhanced_holiday.jpg"
    assert result.details["model"] == "denoise_16"
    assert told[-1].status == "completed"
    assert [state.progress for state in told] == sorted(state.progress for state in told)
    with Image.open(target) as restored, Image.open(photo) as sent:
        assert restored.format == "JPEG"
        assert restored.size == sent.size
    assert sorted(path.name for path in photo.parent.iterdir()) == ["holiday.png", "restored.jpg"]


def test_beside_the_input_and_in_memory(connect: Any, address: str, photo: Path) -> None:
    hub = connect(address)
    hub.denoise(photo)  # PyTorch may have computed the first one, in single pixels otherwise.
    saved = hub.denoise(photo, to=BESIDE, strength=0.5)
    assert saved.path == photo.with_name("enhanced_holiday.png")
    kept = hub.denoise(photo.read_bytes(), filename="größe 1.png", strength=0.5)
    assert kept.content == saved.path.read_bytes()
    assert kept.filename.startswith("enhanced_gr")
    with photo.open("rb") as file:
        assert hub.restore(file, "denoise", strength=0.5).content == kept.content


def test_a_clip(connect: Any, address: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip("clip.mov", frames=6)
    result = connect(address).denoise(clip, to=f"{tmp_path}/out/", codec="vp9", end=0.12, temporal=False)
    assert result.path == tmp_path / "out" / "enhanced_clip.mp4"
    with av.open(result.path) as restored:
        assert len(list(restored.decode(video=0))) == 3
    assert result.details["frames"] == 3


def test_step_by_step(connect: Any, address: str, photo: Path) -> None:
    hub = connect(address)
    task = hub.submit_image(photo, strength=0.9)
    assert task.wait(timeout=60).status == "completed"
    assert task.status().result_path.startswith("/static_results/images/denoise/processed/")
    task.heartbeat()
    result = hub.task(task.id).download(confirm=False)
    assert result.content.startswith(b"\x89PNG")
    path = task.status().result_path
    assert hub.confirm_download(path) == {"message": "Download confirmed."}
    assert hub.confirm_download(path) == {"message": "Download was already confirmed."}
    assert task.cancel().status == "completed"
    listed = hub.tasks(kind="image", status="completed", limit=1)
    assert listed.tasks[0].id == task.id
    assert (listed.tasks[0].filename, listed.tasks[0].task, listed.tasks[0].kind) == ("holiday.png", "denoise", "image")
    assert listed.tasks[0].created_at <= listed.tasks[0].started_at <= listed.tasks[0].finished_at
    if listed.next:
        assert hub.tasks(limit=1, before=listed.next).tasks[0].id != task.id
    with pytest.raises(ConflictError, match="not_resumable"):
        task.resume()
    task.delete()
    with pytest.raises(NotFoundError, match="task_not_found"):
        task.status()
    with pytest.raises(NotFoundError, match="task_not_found"):
        task.wait()


def test_cancelled(connect: Any, address: str, make_clip: Callable[..., Path]) -> None:
    task = connect(address).submit_video(make_clip(frames=200, size=(256, 192)))
    assert task.cancel().status == "cancelled"
    with pytest.raises(TaskCancelled):
        task.wait()
    with pytest.raises(TaskCancelled):
        task.download()


def test_refused_and_failed(connect: Any, address: str, photo: Path) -> None:
    hub = connect(address)
    with pytest.raises(UnsupportedMediaError, match="not a photo") as caught:
        hub.denoise(b"%PDF-1.7 and so on")
    assert (caught.value.status, caught.value.code) == (415, "not_an_image")
    with pytest.raises(InvalidError, match="valid are") as wrong:
        hub.denoise(photo, model="denoise_x")
    assert "denoise_16" in wrong.value.data["valid"]
    with pytest.raises(ConflictError, match="not installed"):
        hub.deblur(photo)
    with pytest.raises(TaskFailed) as failed:
        hub.denoise(photo.read_bytes()[:5000], filename="half.png")
    assert failed.value.code == "damaged_image"


def test_the_smaller_calls(connect: Any, address: str, photo: Path) -> None:
    hub = connect(address)
    with Image.open(io.BytesIO(hub.preview(photo))) as preview:
        assert preview.format == "JPEG"
    assert "denoise" in hub.controls()["tasks"]
    assert hub.model_loading_strategy() == {"load_all_on_startup": False}
    assert hub.load_models("denoise_16") == {"loaded_models": ["denoise_16"]}
    assert any(model["loaded"] for model in hub.models()["models"])
    assert set(hub.unload_models("denoise_16")) == {"unloaded_models", "skipped_models"}
    assert hub.cache_status()["image_cache_mb"] >= 0
    assert set(hub.clear_cache(videos=False)) >= {"cleared_count", "skipped_in_progress_count"}
    assert hub.health()["status"] == "ok"
    assert hub.ready()["ready"] is True
    task = hub.install_models("denoise_16")
    assert task.wait(timeout=30).details["already_installed"] == ["denoise_16"]
    with pytest.raises(ValueError, match="none that makes a file"):
        task.download()


def test_one_job_though_the_answers_are_lost(connect: Any, scripted: Any, acts: Any, address: str, photo: Path) -> None:
    """The server gets the photo three times and makes one job of it; the proxy between drops its first two answers."""

    def forward(handler: BaseHTTPRequestHandler) -> httpx.Response:
        seen = scripted.seen[-1]
        headers = {name: value for name, value in seen.headers.items() if name != "Host"}
        return httpx.request(seen.method, address + seen.path, headers=headers, content=seen.body)

    def forward_and_lose(handler: BaseHTTPRequestHandler) -> None:
        assert forward(handler).status_code == 202
        acts.lose()(handler)

    def forward_and_relay(handler: BaseHTTPRequestHandler) -> None:
        answer = forward(handler)
        acts.reply(answer.status_code, answer.content)(handler)

    scripted.script = [forward_and_lose, forward_and_lose, forward_and_relay]
    straight = connect(address)
    before = {task.id for task in straight.tasks(limit=100).tasks}
    task = connect(scripted.address).submit_image(photo, strength=0.7)
    after = {task.id for task in straight.tasks(limit=100).tasks}
    assert after - before == {task.id}
    assert len(scripted.seen) == 3


def test_your_own_key_gives_the_same_task(connect: Any, address: str, photo: Path) -> None:
    hub = connect(address)
    key = f"holiday {id(hub)}"
    assert hub.submit_image(photo, idempotency_key=key).id == hub.submit_image(photo, idempotency_key=key).id
    with pytest.raises(InvalidError, match="idempotency_key_reused"):
        hub.submit_image(photo, idempotency_key=key, strength=0.1)


def test_many_at_once(address: str, photo: Path) -> None:
    async def main() -> list[bytes | None]:
        async with AsyncHubClient(address) as hub:
            many = [hub.denoise(photo, strength=strength / 10) for strength in (3, 6, 6)]
            return [result.content for result in await asyncio.gather(*many)]

    first, second, third = asyncio.run(main())
    assert second == third != first


def test_a_server_that_dies_and_comes_back(
    make_server: Callable[..., Any], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """It is killed in the middle of a clip, while the client waits."""
    server = make_server(segment_seconds="0.1", page="0", cpu_backend="torch")
    server.start()
    restarts = 0

    def told(state: TaskStatus) -> None:
        nonlocal restarts
        if state.progress and not restarts:
            restarts = 1
            server.kill()
            server.start()

    with HubClient(server.address) as hub:
        result = hub.denoise(make_clip(frames=12), to=tmp_path / "out.mp4", progress=told)
    assert restarts == 1
    assert result.details["frames"] == 12


@pytest.mark.parametrize(("sync", "other"), [(HubClient, AsyncHubClient), (Task, AsyncTask)])
def test_both_clients_offer_the_same(sync: type, other: type) -> None:
    """The same methods, with the same parameters, in the same words."""

    def offered(kind: type) -> dict[str, Any]:
        return {
            name.replace("aclose", "close"): (
                inspect.signature(value).parameters,
                str(inspect.signature(value).return_annotation).removeprefix("Async"),
                # What interrupts a wait differs, so there only the first paragraph is the same.
                str(inspect.getdoc(value)).split("\n\n")[: 1 if name == "wait" else None],
            )
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }

    assert offered(sync) == offered(other)
    assert inspect.getdoc(sync.__init__) == inspect.getdoc(other.__init__)  # type: ignore[misc]
    for name, value in vars(other).items():
        if inspect.isfunction(value) and not name.startswith("_") and name != "task":
            assert inspect.iscoroutinefunction(value), name
