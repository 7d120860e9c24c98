"""Arithmetic on arrays of pixels: orientation, bit depth, alpha. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIP_PIXELS = 1 << 20


def strips(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover the picture, about a megapixel each, so that temporary copies stay small."""
    rows = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def stored_view(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view of the upright array (H, W, C) laid out as the file stores it.

    orientation: EXIF 1 to 8. Writing the file's rows into the view leaves `upright` upright.
    """
    match orientation:
        case 2:
            return upright[:, ::-1]
        case 3:
            return upright[::-1, ::-1]
        case 4:
            return upright[::-1]
        case 5:
            return upright.swapaxes(0, 1)
        case 6:
            return upright.swapaxes(0, 1)[::-1]
        case 7:
            return upright.swapaxes(0, 1)[::-1, ::-1]
        case 8:
            return upright.swapaxes(0, 1)[:, ::-1]
        case _:
            return upright


def turns_sideways(orientation: int) -> bool:
    """Whether this EXIF orientation swaps width and height."""
    return 5 <= orientation <= 8


def stretch(values: NDArray[Any], top: int) -> NDArray[np.uint16]:
    """Unsigned samples from 0 to `top` (less than 2**32) scaled to the full range of uint16, rounded.

    Its temporary copies hold 4 bytes per sample, 8 where `top` exceeds 16 bits: give it one of `strips` at a time.
    """
    known = np.minimum(values, min(top, np.iinfo(values.dtype).max))
    if top == 65535:
        return np.asarray(known, np.uint16)
    # 65535 * 65535 and half of it for rounding still fit in 32 bits.
    wide = known.astype(np.uint32 if top <= 65535 else np.uint64)
    wide *= 65535
    wide += top // 2
    wide //= top
    return np.asarray(wide, np.uint16)


def to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8, uint16 or float32 [0, 1] samples as uint8, rounded once to the nearest."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    rounded: NDArray[np.uint8] = np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return rounded


def to_uint16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """uint8, uint16 or float32 [0, 1] samples as uint16, rounded once to the nearest."""
    if values.dtype == np.uint16:
        return values.astype(np.uint16, copy=False)
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(257)
    rounded: NDArray[np.uint16] = np.rint(np.clip(values, 0.0, 1.0) * 65535.0).astype(np.uint16)
    return rounded


def to_depth(values: NDArray[Any], bit_depth: int) -> NDArray[Any]:
    """(H, W, C) samples at 8, 16 or 32 bits; converted strip by strip, or returned as they are."""
    if bit_depth == 32:
        return values
    convert = to_uint8 if bit_depth == 8 else to_uint16
    wanted = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
    if values.dtype == wanted:
        return values
    result: NDArray[Any] = np.empty(values.shape, wanted)
    for rows in strips(*values.shape[:2]):
        result[rows] = convert(values[rows])
    return result


def on_white(values: NDArray[Any]) -> NDArray[Any]:
    """Composite (H, W, 2|4) grey-alpha or RGBA over white; integer samples are rounded. Others are returned as is."""
    if values.shape[2] not in (2, 4):
        return values
    if values.dtype.kind == "f":
        opacity = values[..., -1:]
        composite: NDArray[Any] = values[..., :-1] * opacity + (1 - opacity)
        return composite
    top = int(np.iinfo(values.dtype).max)
    result = np.empty((*values.shape[:2], values.shape[2] - 1), values.dtype)
    for rows in strips(*values.shape[:2]):
        alpha = values[rows, :, -1:].astype(np.uint64)
        colour = values[rows, :, :-1].astype(np.uint64)
        result[rows] = ((colour * alpha + top * (top - alpha) + top // 2) // top).astype(values.dtype)
    return result


def straighten_alpha(values: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied (associated) colour by its alpha, the last channel."""
    top = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    result = values.copy()
    for rows in strips(*values.shape[:2]):
        alpha = values[rows, :, -1:].astype(np.float64)
        colour = np.divide(
            values[rows, :, :-1] * top, alpha, out=np.zeros((*alpha.shape[:2], values.shape[2] - 1)), where=alpha > 0
        )
        colour = np.clip(colour, 0, top)
        result[rows, :, :-1] = colour if values.dtype.kind == "f" else np.rint(colour)
    return result
