from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hub.errors import Conflict, HubError, InvalidInput, NotFound, UnsupportedMedia
from hub.jobs.model import Kind, Status
from hub.service import Hub, VideoOptions
from hub.settings import Settings

MakeClip = Callable[..., Path]


@pytest.fixture
def hub(settings: Settings) -> Iterator[Hub]:
    hub = Hub(settings.model_copy(update={"cpu_backend": "torch", "segment_seconds": 0.1}))
    hub.start()
    yield hub
    hub.stop()


def submit(hub: Hub, path: Path, **options: object) -> str:
    with path.open("rb") as stream:
        return hub.submit_video(stream, path.name, VideoOptions(**options)).id  # type: ignore[arg-type]


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def test_a_noisy_clip_comes_out_clean(hub: Hub, make_clip: MakeClip, clean_photo: NDArray[np.uint8]) -> None:
    source = make_clip(frames=20, sound=True)
    job_id = submit(hub, source, display=True)
    seen: list[dict[str, object]] = []
    while not (view := hub.view(job_id, Kind.VIDEO)).job.status.finished:
        seen.append(dict(view.details))
        time.sleep(0.05)
    assert view.job.status is Status.COMPLETED, view.job.error
    assert view.job.result_path is not None
    assert view.job.result_path.startswith("/static_results/videos/denoise/processed/")
    assert view.job.result_path.endswith("_enhanced_clip.mp4")
    result = view.job.result
    assert result is not None
    assert (result["frames"], result["audio_streams"], result["codec"]) == (20, 1, "h264")
    assert result["segments"] == 2
    assert any(details.get("frames_done") for details in seen)
    assert all(details["frames_total"] == 20 for details in seen if details)

    restored = pictures(hub.result_file(view.job.result_path))
    before, after = (pictures(path) for path in hub.display.clips(job_id))
    assert len(restored) == len(before) == len(after) == 20
    for index in (0, 15, 19):
        clean = np.roll(clean_photo, -index, axis=1)[:96, :128]
        assert psnr(restored[index], clean) > psnr(before[index], clean) + 5
    latest = hub.display.latest_frame(job_id)
    assert latest is not None
    assert latest.read_bytes()[:3] == b"\xff\xd8\xff"
    assert not (hub.files.job_dir(job_id) / "segments").exists()


def test_a_frame_can_be_looked_at_before(hub: Hub, make_clip: MakeClip, clean_photo: NDArray[np.uint8]) -> None:
    before, after = hub.display.preview_frame(make_clip(frames=20), 0.61, VideoOptions())
    clean = np.roll(clean_photo, -15, axis=1)[:96, :128]
    assert psnr(after, clean) > psnr(before, clean) + 5


def test_cancel_keeps_nothing(hub: Hub, make_clip: MakeClip) -> None:
    job_id = submit(hub, make_clip(frames=200))
    while not hub.view(job_id).details.get("frames_done"):
        time.sleep(0.02)
    began = time.monotonic()
    hub.cancel(job_id)
    view = hub.manager.wait(job_id, 30)
    assert time.monotonic() - began < 5
    assert view.job.status is Status.CANCELLED
    assert hub.files.stored_ids() == set()
    with pytest.raises(Conflict):
        hub.resume(job_id)


def test_a_job_that_failed_late_is_resumed(hub: Hub, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    from hub.video import restoration

    def full(*_: object, **__: object) -> None:
        raise HubError("disk_full", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(restoration, "join_clip", full)
        job_id = submit(hub, make_clip(frames=40))
        failed = hub.manager.wait(job_id, 120)
    assert (failed.job.status, failed.job.error_code) == (Status.FAILED, "disk_full")
    hub.resume(job_id)
    done = hub.manager.wait(job_id, 120)
    assert done.job.status is Status.COMPLETED, done.job.error
    assert done.job.result is not None
    assert done.job.result["resumed_segments"] == done.job.result["segments"] == 3


def test_a_stopped_hub_goes_on_where_it_was(settings: Settings, make_clip: MakeClip) -> None:
    ours = settings.model_copy(update={"cpu_backend": "torch", "segment_seconds": 0.1})
    first = Hub(ours)
    first.start()
    job_id = submit(first, make_clip(frames=48))
    while (first.view(job_id).details.get("frames_done") or 0) < 20:
        time.sleep(0.02)
    first.stop()
    second = Hub(ours)
    second.start()
    try:
        done = second.manager.wait(job_id, 120)
        assert done.job.status is Status.COMPLETED, done.job.error
        assert done.job.result is not None
        assert done.job.result["frames"] == 48
        assert done.job.result["resumed_segments"] >= 1
    finally:
        second.stop()


def test_what_cannot_be_restored_is_refused_at_once(hub: Hub, make_clip: MakeClip, noisy_png: Path) -> None:
    with pytest.raises(UnsupportedMedia):
        submit(hub, noisy_png)
    with pytest.raises(InvalidInput):
        submit(hub, make_clip(frames=5), start=3.0)
    with pytest.raises(InvalidInput):
        submit(hub, make_clip(frames=5), codec="mpeg1")
    assert hub.files.stored_ids() == set()


def test_pictures_to_show_are_only_there_where_they_were_asked_for(hub: Hub, make_clip: MakeClip) -> None:
    job_id = submit(hub, make_clip(frames=3))
    hub.manager.wait(job_id, 60)
    assert hub.display.latest_frame(job_id) is None
    with pytest.raises(NotFound):
        hub.display.clips(job_id)
