"""Reads HEIC through libheif, at 8 bits or, for HDR files, at 10 and 12 bits scaled to 16."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pillow_heif
from numpy.typing import NDArray

from hub.media import colour
from hub.media.metadata import ExifBlock, upright_xmp
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pixels import stretch, strips
from hub.media.source import check_pixels, damaged, noted

_MODES: dict[str, tuple[Literal["grey", "rgb"], bool]] = {
    "L": ("grey", False),
    "I;16": ("grey", False),
    "RGB": ("rgb", False),
    "RGB;16": ("rgb", False),
    "RGBA": ("rgb", True),
    "RGBA;16": ("rgb", True),
}


class HeifSource:
    """The primary picture of a HEIC file; libheif turns it upright."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        try:
            container = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        except (ValueError, RuntimeError, EOFError, SyntaxError) as error:
            raise damaged("its HEIC header makes no sense") from error
        self._picture = container[container.primary_index]
        width, height = self._picture.size
        check_pixels(width, height, max_pixels)
        if self._picture.mode not in _MODES:
            raise damaged(f"its pixels are of an unknown kind ({self._picture.mode})")
        mode, alpha = _MODES[self._picture.mode]
        info: dict[str, Any] = self._picture.info
        self._bits = int(info.get("bit_depth", 8))
        depth = 16 if self._picture.mode.endswith("16") else 8
        self.orientation = 1
        self.info = PhotoInfo("heic", width, height, depth, mode, alpha, lossless=False)
        if depth == 16:
            self.info = noted(self.info, f"{self._bits} bits per sample.")
        if len(container) > 1:
            self.info = noted(self.info, f"The main one of {len(container)} pictures.")
        icc = info.get("icc_profile") or None
        problem = colour.profile_problem(icc, mode) if icc else None
        if problem:
            self.info = noted(self.info, problem)
        exif = None
        if info.get("exif"):
            try:
                exif = ExifBlock(info["exif"]).upright(width, height)
            except ValueError:
                self.info = noted(self.info, "The EXIF block is damaged and was left out.")
        self.metadata = Metadata(icc=None if problem else icc, exif=exif, xmp=upright_xmp(info.get("xmp")))

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode the picture."""
        height, width, channels = stored.shape
        try:
            data = np.frombuffer(self._picture.data, np.uint8)
        except (ValueError, RuntimeError, EOFError, SyntaxError) as error:
            raise damaged("its picture data cannot be decoded") from error
        row = width * channels * stored.dtype.itemsize
        rows = data.reshape(height, self._picture.stride)[:, :row]
        for part in strips(height, width):
            values = np.ascontiguousarray(rows[part]).view(stored.dtype).reshape(-1, width, channels)
            if stored.dtype == np.uint16:
                # libheif leaves the samples in the upper bits of each 16.
                values = stretch(values >> (16 - self._bits), (1 << self._bits) - 1)
            stored[part] = values
