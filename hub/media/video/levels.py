"""Tables that bring what swscale delivers to the full scale of the array."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.format import VideoFormat
from numpy.typing import NDArray

# swscale turns deeper YUV into 16-bit RGB by shifting: limited white comes out as 255 x 256 (and 3 from rounding), full
# white as its own bits followed by zeros. Deeper RGB it widens properly, and so alpha from 12 bits on. Deeper grey it
# widens too far, so that is taken as it is.
_LIMITED_WHITE = 65283
_WIDENED_ALPHA_BITS = 12

Table = NDArray[Any]


def colour_table(picture: VideoFormat, levels: str, dtype: str) -> Table | None:
    """What to look colours up in, by the pixel format and range (`tv` or `pc`) they come from; None where all is well.

    Grey is stretched here as well, for swscale takes all grey for full range.
    """
    depth = picture.components[0].bits
    if is_grey(picture):
        narrow = as_it_is(picture)
        white = (1 << depth) - 1 if narrow else float(np.iinfo(dtype).max)
        if levels == "pc" or depth < 8:
            return _table(0, white, dtype) if narrow else None
        unit = white / ((1 << depth) - 1) * (1 << (depth - 8))
        return _table(16 * unit, 235 * unit, dtype)
    if dtype == "uint8" or picture.is_rgb or picture.has_palette:
        return None
    return _table(0, _LIMITED_WHITE if levels == "tv" else _shifted(depth), dtype)


def alpha_table(picture: VideoFormat, dtype: str) -> Table | None:
    """What to look alpha up in; None where all is well."""
    depth = picture.components[0].bits
    if dtype == "uint8" or picture.is_rgb or is_grey(picture) or not 8 < depth < _WIDENED_ALPHA_BITS:
        return None
    return _table(0, _shifted(depth), dtype)


def as_it_is(picture: VideoFormat) -> bool:
    """Whether frames of this format are grey that `colour_table` widens from its own bits, unconverted."""
    return is_grey(picture) and len(picture.components) == 1 and 8 < picture.components[0].bits < 16


def is_grey(picture: VideoFormat) -> bool:
    """Whether there is one channel, alpha aside."""
    return not picture.has_palette and sum(not component.is_alpha for component in picture.components) == 1


def _shifted(depth: int) -> int:
    return ((1 << depth) - 1) << (16 - depth) if depth < 16 else 65535


def _table(black: float, white: float, dtype: str) -> Table:
    greatest = np.iinfo(dtype).max
    values = (np.arange(greatest + 1) - black) * (greatest / (white - black))
    return values.round().clip(0, greatest).astype(dtype)
