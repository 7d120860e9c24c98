"""How a stored picture becomes the upright one: the container's crop, then rotation and mirroring."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container.input import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from hub.media.video.sidedata import side_data

# Degrees by which a clip may stand off a right angle without anyone being told.
_TOLERANCE = 2.0


@dataclass(frozen=True)
class Crop:
    """Pixels that the container cuts off; what the codec itself crops is gone already."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what stays."""
        return width - self.left - self.right, height - self.top - self.bottom

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """What stays, a view of pixels (H, W, C)."""
        height, width = pixels.shape[:2]
        return pixels[self.top : height - self.bottom, self.left : width - self.right]


@dataclass(frozen=True)
class Turn:
    """Rotation by right angles and mirroring: transpose first, then flips of the result.

    degrees: how far the clip's own angle is from the right angle that is used instead.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    degrees: float = 0.0

    def __bool__(self) -> bool:
        return self.transpose or self.flip_rows or self.flip_columns

    @property
    def note(self) -> str | None:
        """What a person should know."""
        if self.degrees < _TOLERANCE:
            return None
        return f"The clip asks to be shown askew; it is turned to the nearest right angle, {self.degrees:.0f}° off."

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture; the same call turns them back."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The upright picture, a view of pixels (H, W, C)."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_rows:
            pixels = pixels[::-1]
        if self.flip_columns:
            pixels = pixels[:, ::-1]
        return pixels


def turn_of(frame: VideoFrame) -> Turn:
    """What the frame's display matrix asks for.

    The matrix maps a stored point (x, y), y downwards, to (ax + cy, bx + dy); its first two rows are a, b and c, d.
    """
    data = side_data(frame, Type.DISPLAYMATRIX)
    if data is None:
        return Turn()
    a, b, _, c, d = struct.unpack("=9i", data[:36])[:5]
    straight, crossed = abs(a) + abs(d), abs(b) + abs(c)
    if straight + crossed == 0:
        return Turn()
    off = math.degrees(math.atan2(min(straight, crossed), max(straight, crossed)))
    if crossed > straight:
        return Turn(True, flip_rows=b < 0, flip_columns=c < 0, degrees=off)
    return Turn(False, flip_rows=d < 0, flip_columns=a < 0, degrees=off)


def crop_of(container: InputContainer, stream_index: int, width: int, height: int) -> Crop:
    """The crop that the container asks for; none where it makes no sense.

    PyAV gives this side data of a stream only as text, and text only while FFmpeg may log.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        text = str(container.dumps_format())  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)
    own = re.search(rf"Stream #0:{stream_index}\D.*?(?=\n *Stream #|\Z)", text, re.DOTALL)
    found = own and re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", own.group())
    if not found:
        return Crop()
    left, right, top, bottom = (int(side) for side in found.groups())
    crop = Crop(top, bottom, left, right)
    return crop if min(crop.size(width, height)) > 0 else Crop()


def black(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A black picture (H, W, C), opaque where it has alpha."""
    picture: NDArray[Any] = np.zeros(shape, dtype)
    if shape[-1] in (2, 4):
        picture[..., -1] = np.iinfo(dtype).max
    return picture
