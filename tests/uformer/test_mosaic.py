"""Cutting and assembling are each other's inverse, for every kind of image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from uformer.mosaic import assemble, cut
from uformer.tiling import plan_tiles

PLAN = plan_tiles(300, 200, max_pixels=128 * 256, overlap=64)


@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,)])
def test_tiles_are_three_channels_of_the_images_type(channels: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (300, 200, *channels), np.uint16)
    tiles = list(cut(image, PLAN))
    assert len(tiles) == PLAN.tiles
    assert {tile.shape[:2] for tile in tiles} == PLAN.shapes
    assert {(tile.shape[2], tile.dtype.name) for tile in tiles} == {(3, "uint16")}
    restored = (tile.astype(np.float32) / 65535 for tile in tiles)
    np.testing.assert_array_equal(assemble(image, PLAN, restored), image)


def test_assembling_takes_no_tile_of_the_next_image() -> None:
    image = np.zeros((300, 200, 3), np.uint8)

    def tiles() -> Iterator[NDArray[Any]]:
        for value in (0.25, 0.75):
            for tile in cut(image, PLAN):
                yield np.full(tile.shape, value, np.float32)

    restored = tiles()
    assert (assemble(image, PLAN, restored) == 64).all()
    assert (assemble(image, PLAN, restored) == 191).all()
    assert next(restored, None) is None
