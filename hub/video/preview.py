"""Single frames for people to look at: one restored before the long run, and small pictures of any."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.engine import EngineSession
from hub.failures import restoring
from hub.media.video.clip import ClipInfo, Frame
from hub.video.options import VideoOptions
from hub.video.terms import ClipTerms
from uformer.restore import RestoreOptions, blend
from uformer.sequence import SequenceRestorer

UTMOST_ASPECT = Fraction(8)


def restore_frame(
    frame: Frame, info: ClipInfo, session: EngineSession, options: VideoOptions, terms: ClipTerms
) -> NDArray[Any]:
    """The frame as the whole clip's restoration will show it, but for smoothing over time.

    Returns an array like the frame's. Raises InvalidInput (`not_restorable`), HubError (`out_of_memory`), Cancelled.
    """
    with restoring("a frame of this size"):
        sequence = SequenceRestorer(
            session,
            info.height,
            info.width,
            RestoreOptions(tile=terms.tile, overlap=terms.overlap),
            max_tile_pixels=terms.max_tile_pixels,
        )
        session.prepare(sequence.plan.shapes)
        restored = next(iter(sequence.restore([frame.pixels])))
    return restored if options.strength == 1 else blend(frame.pixels, restored, options.strength)


def shown(pixels: NDArray[Any], max_side: int | None = None) -> NDArray[np.uint8]:
    """A frame ((H, W, 1 to 4) uint8 or uint16) as (H, W, 3) uint8 RGB, at most `max_side` pixels on a side."""
    import cv2

    colours = pixels[..., : 1 if pixels.shape[2] < 3 else 3]
    picture = colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
    scale = 1.0 if max_side is None else min(1.0, max_side / max(picture.shape[:2]))
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


def square_pixels(picture: NDArray[np.uint8], aspect: Fraction) -> NDArray[np.uint8]:
    """The picture as players show it, where a pixel is `aspect` times as wide as high; never smaller.

    Aspects that no camera makes are taken for the nearest that one might, since the picture grows with them.
    """
    import cv2

    aspect = min(max(aspect, 1 / UTMOST_ASPECT), UTMOST_ASPECT)
    height, width = picture.shape[:2]
    size = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if size == (width, height):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_jpeg(path: Path, pixels: NDArray[Any], max_side: int, aspect: Fraction) -> None:
    """Write a small picture of a frame whose pixels are of this aspect."""
    import cv2

    bgr = np.ascontiguousarray(square_pixels(shown(pixels, max_side), aspect)[..., ::-1])
    path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
