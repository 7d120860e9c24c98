"""Reads samples of more than 8 bits where Pillow would quietly drop the lower ones: PNG, AVIF, JPEG 2000, JPEG, PNM."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from hub.errors import UnsupportedMedia
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pillow_source import Layout, PillowSource, layout_of
from hub.media.pixels import stretch, strips
from hub.media.png_profiles import png_texts
from hub.media.source import check_pixels, damaged, noted

_HEADER_SEARCH = 1 << 20
# Kind, width, height and largest value, between them blanks and comments.
_PNM_HEADER = re.compile(rb"P([2356])(?:(?:\s|#[^\r\n]*[\r\n])+\d{1,10}){2}(?:\s|#[^\r\n]*[\r\n])+(\d{1,5})\s")
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


class DeepSource(PillowSource):
    """A picture whose header Pillow reads and whose samples of 9 to 16 bits another library decodes.

    top: the largest value of a sample. channels: None where Pillow tells them rightly.
    """

    def __init__(self, path: Path, format_name: str, max_pixels: int, top: int, channels: int | None) -> None:
        self._path = path
        self._top = top
        self._channels = channels
        super().__init__(path, format_name, max_pixels)
        if top.bit_length() < 16:
            self.info = noted(self.info, f"{top.bit_length()} bits per sample.")

    def _layout(self) -> Layout:
        """What the file holds; Pillow only knows the 8-bit picture that it would make of it."""
        if self._channels is None:
            mode, alpha, _ = layout_of(self._image)
            return mode, alpha, 16
        return ("grey" if self._channels < 3 else "rgb"), self._channels in (2, 4), 16

    def shrink(self, max_side: int) -> None:
        """Deep pictures are always decoded whole."""

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode all rows; there is no partial picture of a damaged deep file."""
        self._image.close()
        _decode_whole(self._path, _DECODERS[self.info.format], self._top, stored)
        if self.info.format == "png":
            self.metadata = replace(self.metadata, text=png_texts(self._path))


class TwelveBitJpegSource:
    """A JPEG of 12 bits per sample, which Pillow cannot open at all; its metadata is left behind."""

    def __init__(self, path: Path, max_pixels: int, bits: int, height: int, width: int, channels: int) -> None:
        check_pixels(width, height, max_pixels)
        if channels not in (1, 3):
            raise UnsupportedMedia("unsupported_pixels", "A 12-bit JPEG must be grey or RGB; send it as TIFF or PNG.")
        self._path = path
        self._bits = bits
        self.orientation = 1
        self.metadata = Metadata()
        self.info = PhotoInfo("jpeg", width, height, 16, "grey" if channels == 1 else "rgb", False, lossless=False)
        self.info = noted(self.info, f"{bits} bits per sample.", "Its metadata was left out.")

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode all rows."""
        _decode_whole(self._path, imagecodecs.jpeg_decode, (1 << self._bits) - 1, stored)


def open_deep(path: Path, format_name: str, max_pixels: int) -> DeepSource | TwelveBitJpegSource | None:
    """A source for the file if its samples have more than 8 bits, else None."""
    with path.open("rb") as file:
        head = file.read(_HEADER_SEARCH)
    if format_name == "png":
        if head[12:16] == b"IHDR" and head[24] == 16:
            channels = _PNG_CHANNELS.get(head[25])
            if channels is None:
                raise damaged("its header makes no sense")
            # libpng turns a transparent colour into an alpha channel.
            return DeepSource(path, "png", max_pixels, 65535, channels + (channels in (1, 3) and _has_trns(head)))
    elif format_name == "avif":
        at = head.find(b"av1C")
        if at >= 0 and len(head) > at + 6 and head[at + 6] & 0x40:
            return DeepSource(path, "avif", max_pixels, 4095 if head[at + 6] & 0x20 else 1023, None)
    elif format_name == "jpeg2000":
        at = head.find(b"\xff\x4f\xff\x51")
        if at >= 0 and len(head) > at + 42 and 8 < (bits := (head[at + 42] & 0x7F) + 1) <= 16:
            channels = int.from_bytes(head[at + 40 : at + 42], "big")
            return DeepSource(path, "jpeg2000", max_pixels, (1 << bits) - 1, channels)
    elif format_name == "ppm":
        header = _PNM_HEADER.match(head)
        if header is not None and 255 < (top := int(header[2])) < 65536:
            return DeepSource(path, "ppm", max_pixels, top, 3 if header[1] in b"36" else 1)
    elif format_name == "jpeg" and (frame := _jpeg_frame(head)) is not None and frame[0] > 8:
        return TwelveBitJpegSource(path, max_pixels, *frame)
    return None


def _has_trns(head: bytes) -> bool:
    """Whether a PNG names a transparent colour before its pixels."""
    at = 8
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind in (b"tRNS", b"IDAT"):
            return kind == b"tRNS"
        at += 12 + size
    return False


def _jpeg_frame(head: bytes) -> tuple[int, int, int, int] | None:
    """(bits, height, width, components) of a JPEG's frame header; None where there is none to be found."""
    at = 2
    while at + 10 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return (
                head[at + 4],
                int.from_bytes(head[at + 5 : at + 7], "big"),
                int.from_bytes(head[at + 7 : at + 9], "big"),
                head[at + 9],
            )
        if marker == 0xFF:
            at += 1
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _pnm_decode(data: mmap.mmap) -> NDArray[Any]:
    """Samples of a portable grey or colour map as they stand in the file, not scaled to its largest value."""
    import cv2

    # OpenCV wants a blank behind the last number of a text.
    whole = data[:] + b"\n" if data[1:2] in b"23" else data
    values = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("not a whole portable map")
    return values if values.ndim == 2 else values[..., ::-1]


_DECODERS: dict[str, Callable[..., NDArray[Any]]] = {
    "png": imagecodecs.png_decode,
    "avif": imagecodecs.avif_decode,
    "jpeg2000": imagecodecs.jpeg2k_decode,
    "ppm": _pnm_decode,
}


def _decode_whole(path: Path, decode: Callable[..., NDArray[Any]], top: int, stored: NDArray[Any]) -> None:
    """Decode the file into `stored`, in place where its layout allows, and scale samples up to `top` to 16 bits."""
    grey = stored[..., 0] if stored.shape[2] == 1 else stored
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            if top == 65535 and grey.flags.c_contiguous and decode is imagecodecs.png_decode:
                decode(data, out=grey)
                return
            values = decode(data)
        except (RuntimeError, ValueError) as error:
            raise damaged("its picture data cannot be decoded") from error
    if values.dtype.kind not in "u" or values.size != stored.size:
        raise damaged("its header and its picture disagree")
    values = values.reshape(stored.shape)
    for rows in strips(*stored.shape[:2]):
        stored[rows] = stretch(values[rows], top)
