"""Reads TIFF samples of more than 8 bits, and layouts that Pillow does not know, through tifffile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from hub.errors import UnsupportedMedia
from hub.media import colour, iptc
from hub.media.metadata import ORIENTATION, exif_of_tiff, upright_xmp
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pixels import straighten_alpha, stretch, strips, turns_sideways
from hub.media.source import check_pixels, damaged, noted

_COLOURS: dict[int, int] = {
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.SEPARATED: 4,
}
_CENTIMETRE = 3


class TiffSource:
    """The first page of a TIFF: grey, RGB or CMYK, integer or float, with or without alpha."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._tiff = tifffile.TiffFile(path)
        page = self._tiff.pages.first
        if not isinstance(page, tifffile.TiffPage):
            raise damaged("it has no first page")
        self._page = page
        check_pixels(page.imagewidth, page.imagelength, max_pixels)
        colours = _COLOURS.get(page.photometric)
        samples = page.samplesperpixel
        dtype = page.dtype
        if colours is None or dtype is None or dtype.kind not in "uf" or samples < colours or page.imagedepth != 1:
            raise UnsupportedMedia(
                "unsupported_pixels",
                f"TIFF pictures with {samples} {dtype} samples ({tifffile.PHOTOMETRIC(page.photometric).name})"
                " cannot be read. Send a grey, RGB or CMYK TIFF of 8, 16 or 32 bits.",
            )
        self._colours, self._dtype = colours, dtype
        extra = [int(kind) for kind in page.extrasamples]
        self._alpha = bool(extra) and extra[0] in (1, 2)
        self._premultiplied = self._alpha and extra[0] == 1
        self.orientation = _orientation(page)
        width, height = page.imagewidth, page.imagelength
        if turns_sideways(self.orientation):
            width, height = height, width
        depth = 32 if dtype.kind == "f" else 8 if dtype.itemsize == 1 else 16
        icc = _bytes_tag(page, 34675)
        mode = "grey" if colours == 1 else "cmyk" if colours == 4 else "rgb"
        problem = colour.profile_problem(icc, mode) if icc else None
        self._ink_profile = icc if mode == "cmyk" and problem is None else None
        notes = [problem] if problem else []
        if len(self._tiff.pages) > 1:
            notes.append(f"First of {len(self._tiff.pages)} pages.")
        if samples > colours + self._alpha:
            notes.append("Extra channels were left out.")
        if dtype.itemsize > 2 and dtype.kind == "u":
            notes.append(f"Reduced from {page.bitspersample} to 16 bits per sample.")
        if mode == "cmyk":
            if self._ink_profile is None:
                raise UnsupportedMedia(
                    "unsupported_pixels", "A CMYK TIFF of this kind needs a colour profile. Send it as RGB."
                )
            notes.append("Converted from CMYK to sRGB by its colour profile.")
            icc = colour.srgb_profile()
        self.info = PhotoInfo(
            "tiff", width, height, depth, "grey" if colours == 1 else "rgb", self._alpha, notes=tuple(notes)
        )
        with path.open("rb") as file:
            exif = exif_of_tiff(file)
            file.seek(0)
            try:
                records = iptc.of_tiff(file)
            except ValueError:
                records = None
                self.info = noted(self.info, "The IPTC block is damaged and was left out.")
        self.metadata = Metadata(
            icc=None if problem else icc,
            exif=exif,
            xmp=upright_xmp(_bytes_tag(page, 700)),
            iptc=records,
            dpi=_resolution(page, turns_sideways(self.orientation)),
        )

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode the page."""
        with self._tiff:
            values = self._page.asarray()
        if self._page.axes.startswith("S"):
            values = np.moveaxis(values, 0, -1)
        height, width, _ = stored.shape
        values = values.reshape(height, width, -1)[..., : self._colours + self._alpha]
        largest = self._scale(values) if values.dtype.kind == "f" else 1.0
        for rows in strips(height, width):
            stored[rows] = self._converted(values[rows], largest)

    def _converted(self, values: NDArray[Any], largest: float) -> NDArray[Any]:
        """A strip of the file's samples as grey or RGB with straight alpha; float colours are divided by `largest`."""
        top = 1
        if values.dtype.kind == "f":
            values = _finite(values)
            values[..., : self._colours] /= largest
        else:
            if values.dtype.itemsize > 1:
                values = stretch(values, (1 << self._page.bitspersample) - 1)
            top = np.iinfo(values.dtype).max
        if self._page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            values = np.concatenate([top - values[..., :1], values[..., 1:]], axis=-1)
        if self._ink_profile is not None:
            values = colour.inks_to_srgb(values, self._ink_profile)
        return straighten_alpha(values) if self._premultiplied else values

    def _scale(self, values: NDArray[Any]) -> float:
        """The largest colour where it exceeds 1, which it is to become; else 1. The scale is remembered and noted."""
        largest = max(
            float(_finite(values[rows, :, : self._colours]).max(initial=1.0)) for rows in strips(*values.shape[:2])
        )
        if largest > 1.0:
            self.metadata = replace(self.metadata, scale=largest)
            self.info = replace(self.info, notes=(*self.info.notes, f"Values up to {largest:g} were scaled to 1."))
        return largest


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy in which 0 stands for what is no number."""
    copy = values.astype(np.float32)
    return np.nan_to_num(copy, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _orientation(page: tifffile.TiffPage) -> int:
    tag = page.tags.get(ORIENTATION)
    value = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    return value if 1 <= value <= 8 else 1


def _bytes_tag(page: tifffile.TiffPage, code: int) -> bytes | None:
    tag = page.tags.get(code)
    return tag.value if tag is not None and isinstance(tag.value, bytes) and tag.value else None


def _resolution(page: tifffile.TiffPage, sideways: bool) -> tuple[float, float] | None:
    """Dots per inch, where the file gives a unit."""
    unit = int(page.resolutionunit)
    if unit not in (2, _CENTIMETRE):
        return None
    factor = 2.54 if unit == _CENTIMETRE else 1.0
    across, down = (value * factor for value in page.resolution)
    if not (0 < across < 1e5 and 0 < down < 1e5):
        return None
    return (down, across) if sideways else (across, down)


def is_deep(path: Path) -> bool:
    """Whether the first page has samples of more than 8 bits."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return isinstance(page, tifffile.TiffPage) and page.bitspersample > 8
