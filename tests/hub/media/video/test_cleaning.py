from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from hub.media.video.cleaning import cleaned, noise_of
from hub.media.video.process import open_process

MEMORY = 8 << 30


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


def test_the_child_answers_frame_by_frame() -> None:
    frames = np.random.default_rng(3).integers(0, 255, (2, 48, 64, 3)).astype(np.uint8)

    with open_process({"do": "clean"}, memory_bytes=MEMORY, silence=60) as child:
        for frame in frames:
            child.send({"frame": True}, frame)
            message, clean = child.receive()
            assert message == {"cleaned": True}
            assert np.array_equal(clean, cleaned(frame))
