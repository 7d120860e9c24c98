"""The child that cleans a clip's frames about as a network would, to see how well the restored ones will be coded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hub.media.video.channel import Channel

_QUIET = 1.0  # A standard deviation (of 255) up to which nothing is cleaned.
_STRONGEST = 60.0
_PASSES = (6.0, 2.0)  # By how many standard deviations of the noise colours may differ that are blended.


def serve(_request: Mapping[str, Any], channel: Channel) -> None:
    """Answer each frame that comes with the same one cleaned, until the hub wants no more."""
    cv2.setNumThreads(1)  # The other cores are for those who wait for more than a forecast.
    while True:
        _, frame = channel.receive()
        if frame is None:
            raise ValueError("a message without a frame")
        channel.send({"cleaned": True}, cleaned(frame))


def noise_of(grey: NDArray[np.float32]) -> float:
    """Standard deviation of the noise in a picture, by the median of its finest diagonal details (Donoho)."""
    fine = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
    details = (fine[::2, ::2] - fine[1::2, ::2] - fine[::2, 1::2] + fine[1::2, 1::2]) / 2
    return float(np.median(np.abs(details)) / 0.6745)


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
