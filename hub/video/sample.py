"""A clip's frames made small and roughly clean, to see how well the restored ones will be coded."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Side of the blocks of which a mosaic has two in each direction, in pixels."""
_QUIET = 1.0  # A standard deviation (of 255) up to which nothing is cleaned.
_STRONGEST = 60.0
_PASSES = (6.0, 2.0)  # By how many standard deviations of the noise colours may differ that are blended.


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


def noise_of(grey: NDArray[np.float32]) -> float:
    """Standard deviation of the noise in a picture, by the median of its finest diagonal details (Donoho)."""
    fine = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
    details = (fine[::2, ::2] - fine[1::2, ::2] - fine[::2, 1::2] + fine[1::2, 1::2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)


def blended(frame: NDArray[Any], clean: NDArray[Any], strength: float) -> NDArray[Any]:
    """A frame and the same one cleaned, mixed as the result mixes them: at strength 0 the frame as it is."""
    return cv2.addWeighted(frame, 1 - strength, clean, strength, 0).reshape(frame.shape)


def cleaned(frame: NDArray[Any]) -> NDArray[Any]:
    """A frame about as even as its restoration, which is what decides how large it will be coded.

    frame: (H, W, 1 to 4) uint8 or uint16; alpha stays. The strengths are those at which frames of two clips (noise of
    standard deviation 15 and 25, one moving and one still) took most nearly what the restored ones took.
    """
    scale = 1.0 if frame.dtype == np.uint8 else 257.0
    colours = frame.shape[2] - (frame.shape[2] + 1) % 2
    picture = frame[..., :colours].astype(np.float32) / scale
    noise = min(noise_of(picture.mean(axis=2)), _STRONGEST)
    if noise < _QUIET:
        return frame
    for strength in _PASSES:
        filtered = cv2.bilateralFilter(np.ascontiguousarray(picture), 9, strength * noise, 3.0)
        picture = filtered.reshape(picture.shape).astype(np.float32)
    result = frame.copy()
    result[..., :colours] = np.rint(picture * scale).clip(0, 255 * scale)
    return result
