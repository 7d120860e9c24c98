from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from hub.media.video.clip import ClipInfo
from hub.media.video.decoder import ClipDecoder
from hub.stopping import Stopping
from hub.video import sizes
from hub.video.options import VideoOptions
from hub.video.sizes import Scales
from hub.video.terms import ClipTerms

OPTIONS = VideoOptions("denoise", "denoise_16")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "noise.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(60):
            pixels = random.normal(128, 20, (64, 96, 3)).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def info(decoder: ClipDecoder, clip: Path) -> ClipInfo:
    return decoder.probe(clip)


@pytest.fixture
def stopping() -> Stopping:
    return Stopping()


@pytest.fixture
def scales(decoder: ClipDecoder, terms: ClipTerms, stopping: Stopping) -> Iterator[Scales]:
    yield Scales(decoder, terms, stopping)
    stopping.begin()


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9", "av1", "prores", "lossless"])
def test_frames_of_every_codec_are_weighed(scales: Scales, clip: Path, info: ClipInfo, codec: str) -> None:
    coded = scales.weigh(clip, info, replace(OPTIONS, codec=codec))

    assert coded is not None
    assert coded.key > 0
    assert coded.other > 0


def test_no_frame_is_coded_in_the_hubs_own_process(
    scales: Scales, clip: Path, info: ClipInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("FFmpeg was called in this process.")

    monkeypatch.setattr(av, "open", refuse)
    monkeypatch.setattr(av.VideoFrame, "from_ndarray", refuse)

    assert scales.weigh(clip, info, OPTIONS) is not None


def test_one_clip_at_a_time_and_nobody_waits_for_ever(
    scales: Scales, clip: Path, info: ClipInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "TURN_SECONDS", 0.3)

    with scales._turn:
        began = time.monotonic()
        assert scales.weigh(clip, info, OPTIONS) is None
        assert time.monotonic() - began < 5


def test_a_clip_that_takes_too_long_is_given_up(
    scales: Scales, clip: Path, info: ClipInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "TURN_SECONDS", 0.0)
    assert scales.weigh(clip, info, OPTIONS) is None
    monkeypatch.undo()

    assert scales.weigh(clip, info, OPTIONS) is not None
    monkeypatch.setattr(sizes, "TURN_SECONDS", 0.0)
    assert scales.weigh(clip, info, OPTIONS) is not None  # It was weighed before.


def test_nothing_is_weighed_while_the_hub_stops(scales: Scales, clip: Path, info: ClipInfo, stopping: Stopping) -> None:
    stopping.begin()

    assert scales.weigh(clip, info, OPTIONS) is None
