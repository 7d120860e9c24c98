from __future__ import annotations

import numpy as np
import pytest

from hub.video.sample import BLOCK, blended, mosaic
from uformer.restore import blend


@pytest.mark.parametrize("shape", [(6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_blend_is_what_a_run_makes(shape: tuple[int, ...], depth: type) -> None:
    random, most = np.random.default_rng(3), np.iinfo(depth).max
    frame, clean = (random.integers(0, most, shape, endpoint=True).astype(depth) for _ in range(2))

    for strength in (0.0, 0.3, 1.0):
        mixed, wanted = blended(frame, clean, strength), blend(frame, clean, strength)
        assert mixed.dtype == depth
        assert np.abs(mixed.astype(int) - wanted).max() <= 1


def test_a_mosaic_has_something_of_each_quarter() -> None:
    picture = np.zeros((1080, 1920, 3), np.uint8)
    picture[:540, :960], picture[:540, 960:], picture[540:, :960], picture[540:, 960:] = 1, 2, 3, 4

    small = mosaic(picture)

    assert small.shape == (2 * BLOCK, 2 * BLOCK, 3)
    assert [int(small[y, x, 0]) for y in (0, -1) for x in (0, -1)] == [1, 2, 3, 4]
    assert mosaic(picture[:300, :400]).shape == (300, 400, 3)
    assert mosaic(picture[:, :300]).shape == (2 * BLOCK, 300, 3)
