from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from skimage import data

from hub.errors import HubError
from hub.service import Hub, VideoOptions

SECONDS = 300
FRAMES, RATE = 24, 12
WANTED = VideoOptions(model_name="denoise_16")


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 x 192 pixels, two seconds: a camera that moves over a photo, with noise of standard deviation 20."""
    path = tmp_path_factory.mktemp("clip") / "pan.mp4"
    photo, random = data.astronaut(), np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for number in range(FRAMES):
            view = photo[100 + number : 292 + number, 40 + 2 * number : 296 + 2 * number]
            pixels = (view + random.normal(0, 20, view.shape)).clip(0, 255).round().astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_real_run_is_as_long_and_as_large_as_was_said(hub: Hub, pan: Path) -> None:
    before = hub.estimate_video(pan, WANTED)
    with pan.open("rb") as stream:
        job = hub.submit_video(stream, "pan.mp4", WANTED)
    done = hub.manager.wait(job.id, SECONDS).job
    assert done.result is not None, done.error
    assert before.bytes is not None
    assert done.result["bytes"] / 2 <= before.bytes <= 2 * done.result["bytes"]

    after = hub.estimate_video(pan, WANTED)
    assert after.bytes == before.bytes
    assert after.seconds is not None
    # Other programs may keep the machine busy now and not then.
    assert done.result["seconds"] / 6 <= after.seconds <= 6 * done.result["seconds"]
    part = hub.estimate_video(pan, replace(WANTED, end=1.0))
    assert part.seconds is not None
    assert part.seconds < after.seconds
    assert part.bytes == pytest.approx(after.bytes / 2, rel=0.5)


def size_of(hub: Hub, path: Path, options: VideoOptions) -> int:
    size = hub.estimate_video(path, options).bytes
    assert size is not None
    return size


def test_size_follows_quality_and_codec(hub: Hub, pan: Path) -> None:
    sizes = [size_of(hub, pan, replace(WANTED, quality=quality)) for quality in (10, 18, 28)]
    lossless = size_of(hub, pan, replace(WANTED, codec="lossless"))

    assert lossless > sizes[0] > sizes[1] > 2 * sizes[2]


def test_size_follows_strength(hub: Hub, pan: Path) -> None:
    none, half, full = (size_of(hub, pan, replace(WANTED, strength=strength)) for strength in (0, 0.5, 1))

    assert none > half > full


def test_another_network_tells_roughly_how_long_it_takes(hub: Hub, pan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"denoise_16": 1e-4}
    monkeypatch.setattr(hub._networks, "pixel_seconds", lambda name, **_: rates.get(name))

    known = hub.estimate_video(pan, replace(WANTED, temporal=False))
    larger = hub.estimate_video(pan, VideoOptions("deblur", "deblur_b"))

    assert known.seconds is not None
    assert larger.seconds is not None
    assert (known.rough, larger.rough) == (False, True)
    assert larger.seconds / known.seconds == pytest.approx(3.7, rel=0.1)
    rates["denoise_b"] = 8e-4
    alike = hub.estimate_video(pan, VideoOptions("deblur", "deblur_b"))
    assert alike.seconds == pytest.approx(8 * known.seconds, rel=0.1)


def test_where_nothing_ever_ran_no_time_is_told(hub: Hub, pan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub._networks, "pixel_seconds", lambda _, **__: None)
    monkeypatch.setattr(hub._estimator, "_finished", list)

    estimate = hub.estimate_video(pan, VideoOptions("deblur", "deblur_b"))

    assert (estimate.seconds, estimate.rough) == (None, False)
    assert estimate.bytes is not None


def test_finished_clips_tell_where_nothing_was_measured_since_the_start(
    hub: Hub, pan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = {
        "model": "denoise_16",
        "seconds": 30.0,
        "frames": 100,
        "width": 128,
        "height": 96,
        "resumed_segments": 0,
    }
    monkeypatch.setattr(hub._networks, "pixel_seconds", lambda _, **__: None)
    monkeypatch.setattr(hub._estimator, "_finished", lambda: [{**finished, "resumed_segments": 3}, finished])

    estimate = hub.estimate_video(pan, WANTED)
    larger = hub.estimate_video(pan, VideoOptions("deblur", "deblur_b"))

    assert estimate.seconds == pytest.approx(30 / 100 * FRAMES * 4)
    assert not estimate.rough
    assert larger.rough
    assert larger.seconds == pytest.approx(3.7 * estimate.seconds, rel=0.1)


@pytest.mark.parametrize("changed", [{"start": 5.0}, {"codec": "divx"}, {"strength": 2.0}, {"model_name": "deblur_b"}])
def test_what_could_not_be_run_is_refused(hub: Hub, pan: Path, changed: dict[str, object]) -> None:
    with pytest.raises(HubError):
        hub.estimate_video(pan, replace(WANTED, **changed))  # type: ignore[arg-type]


def test_the_first_tile_tells_roughly(hub: Hub, pan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub._estimator, "_finished", list)
    monkeypatch.setattr(hub._networks, "pixel_seconds", lambda _, provisional=False: 1e-4 if provisional else None)

    estimate = hub.estimate_video(pan, replace(WANTED, temporal=False))

    assert estimate.rough
    assert estimate.seconds == pytest.approx(FRAMES * 256 * 192 * 1e-4, rel=0.5)
