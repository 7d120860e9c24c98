"""Develops camera raw files with LibRaw: 16-bit sRGB, the camera's white balance."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import rawpy
import tifffile
from numpy.typing import NDArray

from hub.errors import HubError, UnsupportedMedia
from hub.media import colour
from hub.media.metadata import ExifBlock, exif_of_tiff
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pillow_source import PillowSource
from hub.media.sniffing import RAW_SUFFIXES
from hub.media.source import check_pixels, damaged

_SIDEWAYS_FLIPS = (5, 6)
_CLIPPED_SHARE = 0.001
_SRGB_CURVE = (2.4, 12.92)
_SUB_IFDS, _SUBFILE_TYPE, _DNG_VERSION = 330, 254, 50706


class RawSource:
    """A raw file; LibRaw turns it upright."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._path = path
        try:
            self._raw = rawpy.imread(str(path))
        except rawpy.LibRawFileUnsupportedError as error:
            raise UnsupportedMedia(
                "unsupported_raw", "This camera's raw file is not supported. Convert it to DNG or TIFF."
            ) from error
        except rawpy.LibRawError as error:
            raise damaged("it is a raw file that cannot be read") from error
        sizes = self._raw.sizes
        width, height = sizes.width, sizes.height
        if sizes.flip in _SIDEWAYS_FLIPS:
            width, height = height, width
        check_pixels(width, height, max_pixels)
        check_pixels(sizes.raw_width, sizes.raw_height, max_pixels * 2)
        self.orientation = 1
        self.info = PhotoInfo("raw", width, height, 16, "rgb", False, notes=("Developed from camera raw.",))
        self.metadata = Metadata(icc=colour.srgb_profile(), exif=self._exif())

    def read_into(self, stored: NDArray[Any]) -> None:
        """Demosaic at full size."""
        try:
            developed = self._raw.postprocess(
                use_camera_wb=True, output_bps=16, gamma=_SRGB_CURVE, auto_bright_thr=_CLIPPED_SHARE
            )
        except rawpy.LibRawError as error:
            raise damaged("its raw picture data cannot be decoded") from error
        if developed.shape != stored.shape:
            raise damaged("its header and its picture disagree about the size")
        np.copyto(stored, developed)

    def thumbnail(self, max_pixels: int) -> PillowSource | None:
        """The camera's own JPEG inside the file, if there is one that can be read."""
        try:
            return self._embedded_jpeg(max_pixels)
        except (rawpy.LibRawError, HubError):
            return None

    def _embedded_jpeg(self, max_pixels: int) -> PillowSource | None:
        thumbnail = self._raw.extract_thumb()
        if thumbnail.format != rawpy.ThumbFormat.JPEG:
            return None
        return PillowSource(io.BytesIO(bytes(thumbnail.data)), "jpeg", max_pixels)

    def _exif(self) -> bytes | None:
        """EXIF of the file where it is built like a TIFF, else of the JPEG inside it."""
        try:
            with self._path.open("rb") as file:
                if file.read(4) in (b"II*\0", b"MM\0*"):
                    file.seek(0)
                    return exif_of_tiff(file)
            embedded = self._embedded_jpeg(self.info.width * self.info.height)
            block = None if embedded is None else embedded.metadata.exif
            return None if block is None else ExifBlock(block).upright(self.info.width, self.info.height)
        except (rawpy.LibRawError, HubError, ValueError, TypeError, LookupError, OSError, SyntaxError, struct.error):
            return None


def is_raw(path: Path) -> bool:
    """Whether a file built like a TIFF is a camera's raw file: its main picture is a preview of a larger one inside."""
    with path.open("rb") as file:
        if file.read(10)[8:10] == b"CR":
            return True
    if path.suffix.lower() in RAW_SUFFIXES:
        return True
    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            if _DNG_VERSION in tags:
                return True
            preview = tags.get(_SUBFILE_TYPE)
            return _SUB_IFDS in tags and preview is not None and bool(int(preview.value) & 1)
    except (tifffile.TiffFileError, ValueError, TypeError, AttributeError, LookupError, OSError, struct.error):
        return False
