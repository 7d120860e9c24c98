from __future__ import annotations

import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.applications import Starlette

from hub.errors import NotFound
from hub.jobs.model import Job, Kind
from hub.service import Hub, PhotoOptions, VideoOptions
from hub.ui import thumbnails
from hub.ui.thumbnails import SIDE, Thumbnails, thumbnail_address, thumbnail_route

SECONDS = 300


@pytest.fixture
def client(hub: Hub) -> TestClient:
    return TestClient(Starlette(routes=[thumbnail_route(hub)]))


def submit(hub: Hub, path: Path, *, clip: bool = False) -> Job:
    with path.open("rb") as stream:
        if clip:
            return hub.submit_video(stream, path.name, VideoOptions(end=0.2, temporal=False))
        return hub.submit_photo(stream, path.name, PhotoOptions())


def test_a_photo_has_a_small_picture_before_and_after(hub: Hub, client: TestClient, noisy_png: Path) -> None:
    job = submit(hub, noisy_png)
    before = thumbnail_address(job)
    assert before is not None
    first = client.get(f"/{before}")
    hub.manager.wait(job.id, SECONDS)
    after = thumbnail_address(hub.view(job.id).job)
    assert after is not None
    second = client.get(f"/{after}")

    assert before != after
    for answer in (first, second):
        assert answer.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(answer.content)).size) <= SIDE
    hub.manager.delete(job.id)
    assert client.get(f"/{after}").status_code == 404


def test_a_clip_has_one_too(hub: Hub, client: TestClient, noisy_clip: Path) -> None:
    job = submit(hub, noisy_clip, clip=True)
    shape = Image.open(io.BytesIO(client.get(f"/{thumbnail_address(job)}").content)).size
    hub.cancel(job.id)

    assert shape == (128, 96)
    assert thumbnail_address(hub.view(job.id).job) is None, "A cancelled job keeps no files."
    assert thumbnail_address(Job.new(Kind.INSTALL, "install", {}, "")) is None


def test_what_cannot_be_shown_has_a_sign_instead(
    hub: Hub, client: TestClient, noisy_png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(hub, noisy_png)
    hub.manager.wait(job.id, SECONDS)
    hub.result_file(str(hub.view(job.id).job.result_path)).write_bytes(b"spoilt")

    answer = client.get(f"/{thumbnail_address(hub.view(job.id).job)}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-store"
    for nobody in ("nobody", "00000000-0000-4000-8000-000000000000"):
        assert client.get(f"/thumbnails/{nobody}").status_code == 404


def test_each_is_made_once_and_only_so_many_are_kept(
    hub: Hub, noisy_png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(hub, noisy_png) for _ in range(3)]
    for job in jobs:
        hub.manager.wait(job.id, SECONDS)
    kept = Thumbnails(hub)
    first = kept.get(jobs[0].id)
    assert first is not None
    assert kept.get(jobs[0].id) is first

    second = kept.get(jobs[1].id)
    assert second is not None
    monkeypatch.setattr(thumbnails, "KEPT_BYTES", len(first) + len(second))
    third = kept.get(jobs[2].id)
    assert third is not None
    assert 1 <= len(kept._made) <= 2, "Which of the first two had to go depends on the last one's size."
    assert kept._bytes == sum(len(picture) for picture in kept._made.values()) <= thumbnails.KEPT_BYTES
    with pytest.raises(NotFound):
        kept.get("00000000-0000-4000-8000-000000000000")
