from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from hub.errors import HubError
from hub.service import Hub, VideoOptions
from hub.video.sample import BLOCK, blended, cleaned, mosaic, noise_of
from uformer.restore import blend

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


def test_size_follows_quality_and_codec(hub: Hub, pan: Path) -> None:
    sizes = [hub.estimate_video(pan, replace(WANTED, quality=quality)).bytes for quality in (10, 18, 28)]
    lossless = hub.estimate_video(pan, replace(WANTED, codec="lossless")).bytes

    assert lossless > sizes[0] > sizes[1] > 2 * sizes[2]


def test_size_follows_strength(hub: Hub, pan: Path) -> None:
    none, half, full = (hub.estimate_video(pan, replace(WANTED, strength=strength)).bytes for strength in (0, 0.5, 1))

    assert none > half > full


@pytest.mark.parametrize("shape", [(6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_blend_is_what_a_run_makes(shape: tuple[int, ...], depth: type) -> None:
    random, most = np.random.default_rng(3), np.iinfo(depth).max
    frame, clean = (random.integers(0, most, shape, endpoint=True).astype(depth) for _ in range(2))

    for strength in (0.0, 0.3, 1.0):
        mixed, wanted = blended(frame, clean, strength), blend(frame, clean, strength)
        assert mixed.dtype == depth
        assert np.abs(mixed.astype(int) - wanted).max() <= 1


def test_what_was_never_run_has_no_time(hub: Hub, pan: Path) -> None:
    other = hub.estimate_video(pan, VideoOptions("deblur", "deblur_b"))

    assert other.seconds is None
    assert other.bytes > 0


def test_finished_clips_tell_where_nothing_was_measured_since_the_start(
    hub: Hub, pan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = {"seconds": 30.0, "frames": 100, "width": 128, "height": 96, "resumed_segments": 0}
    monkeypatch.setattr(hub._networks, "pixel_seconds", lambda _: None)
    monkeypatch.setattr(hub._estimator, "_finished", lambda _: [{**finished, "resumed_segments": 3}, finished])

    seconds = hub.estimate_video(pan, WANTED).seconds

    assert seconds == pytest.approx(30 / 100 * FRAMES * 4)


@pytest.mark.parametrize("changed", [{"start": 5.0}, {"codec": "divx"}, {"strength": 2.0}, {"model_name": "deblur_b"}])
def test_what_could_not_be_run_is_refused(hub: Hub, pan: Path, changed: dict[str, object]) -> None:
    with pytest.raises(HubError):
        hub.estimate_video(pan, replace(WANTED, **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("deviation", [0.0, 5.0, 25.0])
def test_noise_is_measured(deviation: float) -> None:
    clean = data.camera().astype(np.float32)
    noisy = clean + np.random.default_rng(1).normal(0, deviation, clean.shape).astype(np.float32)

    assert noise_of(noisy) == pytest.approx(deviation, abs=1.5)


@pytest.mark.parametrize(("channels", "depth"), [(1, np.uint8), (2, np.uint8), (3, np.uint16), (4, np.uint8)])
def test_cleaning_leaves_the_kind_of_frame_as_it_is(channels: int, depth: type) -> None:
    random = np.random.default_rng(2)
    most = np.iinfo(depth).max
    frames: list[NDArray[np.uint8] | NDArray[np.uint16]] = [
        (random.normal(0.5, 0.08, (64, 96, channels)).clip(0, 1) * most).astype(depth) for _ in range(4)
    ]

    results = [cleaned(frame) for frame in frames]

    assert [(result.shape, result.dtype) for result in results] == [(frame.shape, frame.dtype) for frame in frames]
    assert results[-1][..., 0].std() < 0.4 * frames[-1][..., 0].std()
    if channels in (2, 4):
        assert np.array_equal(results[0][..., -1], frames[0][..., -1])


def test_a_mosaic_has_something_of_each_quarter() -> None:
    picture = np.zeros((1080, 1920, 3), np.uint8)
    picture[:540, :960], picture[:540, 960:], picture[540:, :960], picture[540:, 960:] = 1, 2, 3, 4

    small = mosaic(picture)

    assert small.shape == (2 * BLOCK, 2 * BLOCK, 3)
    assert [int(small[y, x, 0]) for y in (0, -1) for x in (0, -1)] == [1, 2, 3, 4]
    assert mosaic(picture[:300, :400]).shape == (300, 400, 3)
    assert mosaic(picture[:, :300]).shape == (2 * BLOCK, 300, 3)
