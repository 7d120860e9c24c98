"""Tile plans cover every pixel with weights that sum to one, and compute few pixels more than there are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uformer.tiling import MULTIPLE, Span, crop, plan_tiles, plan_whole

LENGTHS = st.integers(1, 3000)


@settings(max_examples=150, deadline=None)
@given(
    height=LENGTHS,
    width=LENGTHS,
    max_pixels=st.sampled_from([MULTIPLE**2, 256**2, 400_000, 2_000_000]),
    overlap=st.sampled_from([0, 20, 32, 64]),
    tile=st.sampled_from([None, 128, 256, 512]),
)
def test_weights_sum_to_one_everywhere(
    height: int, width: int, max_pixels: int, overlap: int, tile: int | None
) -> None:
    plan = plan_tiles(height, width, max_pixels=max_pixels, overlap=overlap, tile=tile)
    for spans, length in ((plan.rows, height), (plan.columns, width)):
        total = np.zeros(spans[-1].stop)
        for span in spans:
            assert span.size % MULTIPLE == 0
            assert span.start % 32 == 0
            assert span.fade_in + span.fade_out <= span.size
            total[span.start : span.stop] += span.weights()
        assert len(total) >= length
        np.testing.assert_allclose(total, 1, atol=1e-6)
        for before, after in pairwise(spans):
            assert before.stop - after.start == before.fade_out == after.fade_in >= overlap
    assert all(h * w <= max(max_pixels, (tile or 0) ** 2) for h, w in plan.shapes)


@pytest.mark.parametrize(
    ("height", "width", "ratio"),
    [(512, 768, 1.0), (768, 512, 1.0), (1080, 1920, 1.35), (3000, 4000, 1.35), (4000, 6000, 1.3)],
)
def test_few_pixels_are_computed_twice(height: int, width: int, ratio: float) -> None:
    plan = plan_tiles(height, width, max_pixels=400_000, overlap=64)
    assert plan.pixels / (height * width) <= ratio
    assert sum(h * w for h, w in plan.shapes) <= 500_000


def test_a_small_image_is_one_tile() -> None:
    plan = plan_tiles(1, 130, max_pixels=400_000, overlap=64)
    assert plan.shapes == {(128, 256)}
    assert (plan.tiles, plan.overlap) == (1, 0)


def test_the_whole_is_one_tile_of_any_size() -> None:
    assert plan_whole(1000, 5000).shapes == {(1024, 5120)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 0}, "at least one pixel"),
        ({"overlap": -1}, "at least one pixel"),
        ({"tile": 200}, "multiple of 128"),
        ({"overlap": 512}, "too large"),
        ({"tile": 128, "overlap": 96}, "too large"),
    ],
)
def test_impossible_plans_say_why(arguments: dict[str, int], message: str) -> None:
    wanted = {"height": 2000, "width": 2000, "max_pixels": 400_000, "overlap": 64, **arguments}
    with pytest.raises(ValueError, match=message):
        plan_tiles(wanted.pop("height"), wanted.pop("width"), **wanted)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 1), (100, 200, 3), (128, 128, 3)])
def test_a_crop_beyond_the_edges_is_reflected(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tile = crop(image, Span(0, 256, 0, 0), Span(0, 384, 0, 0))
    expected = np.pad(image, ((0, 256 - shape[0]), (0, 384 - shape[1]), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(tile, expected)


def test_a_crop_inside_is_a_copy_of_its_pixels() -> None:
    image = np.arange(300 * 300 * 3, dtype=np.uint16).reshape(300, 300, 3)
    tile = crop(image, Span(64, 128, 0, 0), Span(32, 128, 0, 0))
    np.testing.assert_array_equal(tile, image[64:192, 32:160])
    assert not np.shares_memory(tile, image)
