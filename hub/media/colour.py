"""ICC profiles: are they sound, what do the pixels look like in sRGB. LittleCMS does the arithmetic."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hub.media.pixels import strips, to_uint8

_SPACES = {"grey": "GRAY", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_SRGB_GAMMA = 1 / 2.2


@cache
def srgb_profile() -> bytes:
    """The sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_problem(icc: bytes, mode: str) -> str | None:
    """Why a profile cannot belong to pixels of this mode (grey, rgb, cmyk), as a note for the user; else None."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        if space != _SPACES[mode]:
            return f"The colour profile is for {space} pixels and was left out."
        sample = Image.new({"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[mode], (2, 2))
        ImageCms.profileToProfile(sample, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return "The colour profile is damaged and was left out."
    return None


def profile_from_png(gamma: float, chromaticity: tuple[float, ...] | None, mode: str) -> bytes | None:
    """The ICC profile that a PNG's gAMA and cHRM chunks stand for; None where they mean sRGB.

    gamma: exponent of the file, 0.45455 for sRGB. chromaticity: x and y of white, red, green and blue.
    """
    points = chromaticity or _SRGB_CHROMATICITY
    like_srgb = all(abs(a - b) < 0.005 for a, b in zip(points, _SRGB_CHROMATICITY, strict=True))
    if not 0.05 <= gamma <= 5 or (abs(gamma - _SRGB_GAMMA) < 0.01 and (like_srgb or mode == "grey")):
        return None
    if not all(0 < y < 1 and 0 <= x < 1 for x, y in zip(points[::2], points[1::2], strict=True)):
        return None
    if mode == "grey":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=(*points[:2], 1.0), gamma=1 / gamma))
    primaries = [value for x, y in zip(points[2::2], points[3::2], strict=True) for value in (x, y, 1.0)]
    whitepoint = (*points[:2], 1.0)
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=whitepoint, primaries=primaries, gamma=1 / gamma))


def ink_transform(mode: str, icc: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """What turns Pillow's CMYK or LAB pixels into sRGB; None where only Pillow's plain arithmetic is left."""
    if mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif icc is not None and profile_problem(icc, "cmyk") is None:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    else:
        return None
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def inks_to_srgb(inks: NDArray[Any], icc: bytes) -> NDArray[Any]:
    """(H, W, 4) CMYK, or (H, W, 5) with alpha, as sRGB of the same type."""
    height, width, channels = inks.shape
    result = np.empty((height, width, channels - 1), inks.dtype)
    for rows in strips(height, width):
        result[rows, :, :3] = imagecodecs.cms_transform(
            np.ascontiguousarray(inks[rows, :, :4]),
            icc,
            srgb_profile(),
            colorspace="cmyk",
            outcolorspace="rgb",
            outdtype=inks.dtype,
        )
    result[..., 3:] = inks[..., 4:]
    return result


def to_srgb8(pixels: NDArray[Any], icc: bytes | None) -> NDArray[np.uint8]:
    """(H, W, 1|2|3|4) pixels of any depth as 8-bit sRGB, alpha untouched; grey stays grey unless a profile turns it.

    icc: the pixels' profile; None means that they are sRGB already.
    """
    height, width, channels = pixels.shape
    alpha = channels in (2, 4)
    colours = channels - alpha
    shown = 3 if icc is not None else colours
    result = np.empty((height, width, shown + alpha), np.uint8)
    for rows in strips(height, width):
        colour = pixels[rows, :, :colours]
        if icc is None:
            result[rows, :, :shown] = to_uint8(np.ascontiguousarray(colour))
        else:
            result[rows, :, :shown] = _transform(np.ascontiguousarray(colour), icc)
        if alpha:
            result[rows, :, -1] = to_uint8(np.ascontiguousarray(pixels[rows, :, -1]))
    return result


def _transform(colour: NDArray[Any], icc: bytes) -> NDArray[Any]:
    """One strip (h, w, 1|3) through its profile into 8-bit sRGB (h, w, 3)."""
    if colour.dtype.kind == "f":
        colour = np.clip(colour, 0.0, 1.0)
    grey = colour.shape[2] == 1
    strip: NDArray[Any] = imagecodecs.cms_transform(
        colour[..., 0] if grey else colour,
        icc,
        srgb_profile(),
        colorspace="gray" if grey else "rgb",
        outcolorspace="rgb",
        outdtype="uint8",
    )
    return strip
