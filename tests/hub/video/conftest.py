"""A network that tests can predict, and the terms that they restore clips under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.media.video.decoder import ClipDecoder
from hub.video.terms import ClipTerms
from uformer.backends import OutOfMemory


class StubNetwork:
    """In the network's place, where a test is about all that is around it: tiles half as bright, and counted.

    largest: pixels of a tile beyond which memory runs out.
    """

    def __init__(self) -> None:
        self.tiles = 0
        self.largest: int | None = None

    def prepare(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Nothing is compiled."""

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            if self.largest is not None and tile.shape[0] * tile.shape[1] > self.largest:
                raise OutOfMemory
            self.tiles += 1
            yield tile.astype(np.float32) / (2 * np.iinfo(tile.dtype).max)


@pytest.fixture
def network() -> StubNetwork:
    return StubNetwork()


@pytest.fixture
def terms() -> ClipTerms:
    """Segments of 16 frames at 25 a second, the fewest that there can be."""
    return ClipTerms(
        max_tile_pixels=400_000,
        tile=None,
        overlap=64,
        segment_seconds=0.1,
        memory_bytes=8_000_000_000,
        silence=60.0,
        min_free_bytes=0,
    )


@pytest.fixture
def decoder() -> Iterator[ClipDecoder]:
    decoder = ClipDecoder(
        max_pixels=4_000_000, max_seconds=600, max_frames=10_000, silence=60.0, memory_bytes=8_000_000_000
    )
    yield decoder
    decoder.close()
