"""What every reader offers: a header first, pixels later. Runs in the worker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from numpy.typing import NDArray

from hub.errors import InvalidInput, TooLarge
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pixels import turns_sideways


class PhotoSource(Protocol):
    """A file whose header was read.

    info, metadata: complete only after `read_into`, since some files keep notes and texts behind their pixels.
    orientation: EXIF 1 to 8, not yet applied to what `read_into` writes.
    """

    info: PhotoInfo
    metadata: Metadata
    orientation: int

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode into an array laid out as the file stores it, of the channels and type that `info` announces."""


def damaged(reason: str) -> InvalidInput:
    """The error for a file that begins like a picture and does not go on like one."""
    return InvalidInput("damaged_image", f"The file is damaged: {reason}. Send an undamaged copy.")


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise TooLarge when the header announces more pixels than allowed, InvalidInput when none."""
    if width < 1 or height < 1:
        raise damaged(f"its header says {width} by {height} pixels")
    if width * height > max_pixels:
        raise TooLarge(
            "too_many_pixels",
            f"The picture has {width} by {height} pixels ({width * height / 1e6:.1f} megapixels);"
            f" at most {max_pixels / 1e6:g} megapixels are allowed.",
            {"width": width, "height": height, "max_pixels": max_pixels},
        )


def stored_shape(source: PhotoSource) -> tuple[int, int, int]:
    """Shape of the array that `read_into` fills."""
    info = source.info
    if turns_sideways(source.orientation):
        return info.width, info.height, info.channels
    return info.height, info.width, info.channels


def noted(info: PhotoInfo, *notes: str) -> PhotoInfo:
    """The same header with more notes."""
    return replace(info, notes=(*info.notes, *notes))
