from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from hub.video.preview import shown, square_pixels, write_jpeg


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(1), (40, 60)),
        (Fraction(4, 3), (40, 80)),
        (Fraction(2, 3), (60, 60)),
        (Fraction(5000), (40, 480)),
        (Fraction(0), (320, 60)),
    ],
)
def test_pixels_are_shown_square_and_absurd_shapes_stay_small(aspect: Fraction, size: tuple[int, int]) -> None:
    assert square_pixels(np.zeros((40, 60, 3), np.uint8), aspect).shape == (*size, 3)


def test_every_kind_of_frame_can_be_shown() -> None:
    grey = np.full((4, 6, 1), 40_000, np.uint16)
    assert (shown(grey) == 40_000 >> 8).all()
    assert shown(grey).shape == (4, 6, 3)
    rgba = np.dstack([np.full((4, 6, 3), 90, np.uint8), np.zeros((4, 6), np.uint8)])
    assert (shown(rgba) == 90).all()
    assert shown(np.zeros((300, 600, 3), np.uint8), 200).shape == (100, 200, 3)


def test_a_small_picture_keeps_its_colours(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[..., 0] = 200
    write_jpeg(tmp_path / "small.jpg", pixels, 32, Fraction(1))
    blue, green, red = cv2.imread(str(tmp_path / "small.jpg")).mean(axis=(0, 1))
    assert (red, green, blue) == pytest.approx((200, 0, 0), abs=6)
