"""A clip's frames made small, and mixed with cleaned ones, to see how well the restored ones will be coded."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Side of the blocks of which a mosaic has two in each direction, in pixels."""


def mosaic(pixels: NDArray[Any]) -> NDArray[Any]:
    """The middle of each quarter of a picture ((H, W, C)), put together; a small picture as it is."""
    height, width = pixels.shape[:2]
    if height <= 2 * BLOCK and width <= 2 * BLOCK:
        return pixels
    tall, wide = min(BLOCK, height // 2), min(BLOCK, width // 2)
    rows = [part * height // 4 - tall // 2 for part in (1, 3)]
    columns = [part * width // 4 - wide // 2 for part in (1, 3)]
    strips = [np.concatenate([pixels[y : y + tall, x : x + wide] for x in columns], axis=1) for y in rows]
    return np.concatenate(strips, axis=0)


def blended(frame: NDArray[Any], clean: NDArray[Any], strength: float) -> NDArray[Any]:
    """A frame and the same one cleaned, mixed as the result mixes them: at strength 0 the frame as it is."""
    return cv2.addWeighted(frame, 1 - strength, clean, strength, 0).reshape(frame.shape)
