from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from hub.media.pixels import on_white, stored_view, straighten_alpha, stretch, to_depth, to_uint8, to_uint16


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[3, 6], [2, 5], [1, 4]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[4, 1], [5, 2], [6, 3]]),
    ],
)
def test_stored_view_is_what_the_camera_stored(orientation: int, expected: list[list[int]]) -> None:
    upright = np.array([[1, 2, 3], [4, 5, 6]])[..., None]
    assert stored_view(upright, orientation)[..., 0].tolist() == expected


def test_eight_bits_survive_sixteen() -> None:
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_uint16(values)), values)


def test_rounding_to_eight_bits_is_to_the_nearest() -> None:
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_uint8(values), np.floor(values / 257 + 0.5).astype(np.uint8))
    assert to_uint8(np.array([-1, 0, 0.5, 1, 9], np.float32)).tolist() == [0, 0, 128, 255, 255]
    assert to_uint16(np.array([-1, 0.25, 2], np.float32)).tolist() == [0, 16384, 65535]


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16, 32])
def test_stretched_samples_fill_the_range(bits: int) -> None:
    top = (1 << bits) - 1
    stretched = stretch(np.array([0, top // 2, top], np.uint32), top).tolist()
    assert stretched[0] == 0
    assert stretched[1] == pytest.approx(32767, abs=65)
    assert stretched[2] == 65535


def test_every_sample_is_stretched_as_exact_arithmetic_does_it() -> None:
    for top in (1000, 1023, 4095, 65534, 65535):
        values = np.arange(65536, dtype=">u2")
        exact = (np.minimum(values.astype(np.int64), top) * 65535 + top // 2) // top
        np.testing.assert_array_equal(stretch(values, top), exact)
    assert stretch(np.array([0, 255], np.uint8), 1023).tolist() == [0, 16336]


def test_stretching_takes_little_memory() -> None:
    values = np.full((1000, 1000), 900, np.uint16)
    tracemalloc.start()
    try:
        stretch(values, 1023)
        assert tracemalloc.get_traced_memory()[1] < 9e6
    finally:
        tracemalloc.stop()


def test_to_depth_leaves_what_fits_alone() -> None:
    pixels = np.zeros((3, 3, 1), np.uint8)
    assert to_depth(pixels, 8) is pixels
    assert to_depth(pixels, 16).dtype == np.uint16


def test_compositing_and_straightening() -> None:
    pixels = np.array([[[200, 100, 0, 0], [200, 100, 0, 255], [0, 0, 0, 128]]], np.uint8)
    assert on_white(pixels).tolist() == [[[255, 255, 255], [200, 100, 0], [127, 127, 127]]]
    half = np.array([[[0.5, 0.5]]], np.float32)
    assert on_white(half).tolist() == [[[0.75]]]
    premultiplied = np.array([[[64, 128], [9, 0]]], np.uint8)
    assert straighten_alpha(premultiplied).tolist() == [[[128, 128], [0, 0]]]
