"""Live frames to pixels and back.

Frames are decoded in this process, though strangers' photos and clips are not: a child process would cost every frame
several milliseconds, and the risk is bounded otherwise. Only the three formats that browsers make are taken, by
Pillow's classes for them, after `headers.py` read the file: size in bytes and pixels, number of chunks, segments and
scans are limited, and what the picture does not need is taken out, before a decoder runs. Nothing ends a decoder that
runs all the same.
"""

from __future__ import annotations

import binascii
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from hub.errors import InvalidInput, TooLarge
from hub.live.headers import damaged, read_frame
from hub.media.metadata import ExifBlock
from hub.media.pixels import stored_view, to_uint8, turns_sideways

_READERS: dict[str, type[ImageFile.ImageFile]] = {"jpeg": JpegImageFile, "png": PngImageFile, "webp": WebPImageFile}
_GREY = frozenset(("1", "L"))
_MULTIPLE = 128
# The orientation stands near the beginning of an EXIF block.
_EXIF_BYTES = 1 << 16


def from_base64(text: str) -> bytes:
    """The file behind base64 text or a `data:` URL; raises InvalidInput (`invalid_base64`)."""
    payload = text
    if text[:5].lower() == "data:":
        head, _, payload = text.partition(",")
        if not head.lower().endswith(";base64") and payload:
            raise InvalidInput("invalid_base64", "A data: URL must be of base64, as in data:image/jpeg;base64,...")
    try:
        # Some encoders break lines, others leave the padding out.
        plain = "".join(payload.split()).rstrip("=")
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as error:
        raise InvalidInput("invalid_base64", f"The image is no sound base64: {error}.") from error


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """The upright frame: (H, W) grey or (H, W, 3) RGB; transparent parts become black, as canvases save them.

    Raises InvalidInput (`empty_frame`, `damaged_frame`), UnsupportedMedia (`unsupported_format`), TooLarge
    (`too_many_pixels`, `too_long`).
    """
    kind, width, height, needed, exif = read_frame(data)
    _check_size(width, height, max_pixels)
    try:
        with _READERS[kind](io.BytesIO(needed)) as image:
            _check_same(image.size, (width, height))
            orientation = _orientation(exif or image.info.get("exif"))
            pixels = _pixels(image)
    except InvalidInput:
        raise
    except Exception as error:
        # For nonsense Pillow raises nearly anything.
        raise damaged("its picture cannot be decoded") from error
    if orientation == 1:
        return pixels
    if turns_sideways(orientation):
        width, height = height, width
    upright = np.empty((height, width, *pixels.shape[2:]), np.uint8)
    stored_view(upright, orientation)[...] = pixels
    return upright


def encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """The picture ((H, W) or (H, W, 3)) as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_rate(pixels: NDArray[np.uint8], frames_per_second: float) -> None:
    """Write the rate into the upper left corner of the picture itself, readable on any ground."""
    import cv2

    scale = max(0.4, pixels.shape[0] / 720)
    line = max(1, round(1.5 * scale))
    place = round(10 * scale), round(30 * scale)
    for brightness, thickness in ((0, 3 * line), (255, line)):
        cv2.putText(
            pixels,
            f"{frames_per_second:.1f} fps",
            place,
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (brightness,) * 3,
            thickness,
            cv2.LINE_AA,
        )


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise damaged("it has no pixels")
    if width * height > max_pixels:
        raise TooLarge(
            "too_many_pixels",
            f"The frame has {width}x{height} pixels; at most {max_pixels / 1e6:g} megapixels are taken here.",
            {"max_pixels": max_pixels},
        )
    # The network sees sides rounded up: a frame of one row would grow to 128 times its size.
    padded = -(-width // _MULTIPLE) * -(-height // _MULTIPLE) * _MULTIPLE**2
    if padded > 2 * max_pixels + 4 * _MULTIPLE**2:
        raise TooLarge("too_long", f"A frame of {width}x{height} pixels is too long for its breadth.")


def _check_same(pillows: tuple[int, int], ours: tuple[int, int]) -> None:
    if pillows != ours:
        raise damaged("its header and its picture disagree about the size")


def _orientation(block: object) -> int:
    """EXIF orientation, 1 to 8; 1 where the block is missing or damaged, since the picture itself may well be sound."""
    try:
        return ExifBlock(block[:_EXIF_BYTES]).orientation if isinstance(block, bytes) else 1
    except ValueError:
        return 1


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # Deep grey, which Pillow's own conversion would cut off at 255.
        deep: NDArray[Any] = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        return to_uint8(deep)
    if image.has_transparency_data:
        ground = Image.new("RGB", image.size)
        coloured = image.convert("RGBA")
        ground.paste(coloured, mask=coloured.getchannel("A"))
        return np.array(ground)
    return np.array(image.convert("L" if image.mode in _GREY else "RGB"))
