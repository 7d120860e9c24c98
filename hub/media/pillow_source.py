"""Reads what Pillow reads: nearly every format at 8 bits, and the metadata of all of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin, UnidentifiedImageError

from hub.errors import UnsupportedMedia
from hub.media import colour, iptc
from hub.media.metadata import ExifBlock, exif_of_tiff, resolution, upright_xmp
from hub.media.photo import Metadata, PhotoInfo
from hub.media.pixels import strips, turns_sideways
from hub.media.png_profiles import png_profiles
from hub.media.source import check_pixels, damaged, noted

# Pillow's plugins per format; nothing else may open the file (some of Pillow's plugins start other programs).
_PLUGINS = {
    "jpeg": ("JPEG", "MPO"),
    "png": ("PNG",),
    "gif": ("GIF",),
    "bmp": ("BMP",),
    "webp": ("WEBP",),
    "tiff": ("TIFF",),
    "avif": ("AVIF",),
    "jpeg2000": ("JPEG2000",),
    "psd": ("PSD",),
    "ico": ("ICO",),
    "cur": ("CUR",),
    "sgi": ("SGI",),
    "qoi": ("QOI",),
    "dds": ("DDS",),
    "ppm": ("PPM",),
    "pcx": ("PCX",),
    "tga": ("TGA",),
}
_LOSSY = frozenset(("jpeg", "avif", "jpeg2000", "dds"))
_INKS = frozenset(("CMYK", "LAB"))
_MIN_PRESENT = 0.5

Layout = tuple[Literal["grey", "rgb"], bool, int]

# The hub's own limit is checked from the header (check_pixels); Pillow's warning would only come later.
Image.MAX_IMAGE_PIXELS = None


class PillowSource:
    """A picture that Pillow decodes, brought to grey or RGB with or without alpha."""

    def __init__(self, file: Path | IO[bytes], format_name: str, max_pixels: int) -> None:
        self._file = file
        self._format = format_name
        self._image = self._open()
        width, height = self._image.size
        check_pixels(width, height, max_pixels)
        mode, alpha, bits = self._layout()
        self.orientation, self.metadata, notes = self._metadata(mode)
        if turns_sideways(self.orientation):
            width, height = height, width
        lossless = format_name not in _LOSSY and not (format_name == "webp" and not _webp_is_lossless(file))
        self.info = PhotoInfo(
            format_name, width, height, bits, mode, alpha, lossless, (*_conversion_notes(self._image), *notes)
        )

    def _layout(self) -> Layout:
        """What the picture is brought to."""
        return layout_of(self._image)

    def _open(self) -> Image.Image:
        try:
            return Image.open(self._file, formats=_PLUGINS[self._format])
        except UnidentifiedImageError as error:
            raise damaged("its header makes no sense") from error
        except (OSError, SyntaxError, ValueError) as error:
            if not str(error).startswith("Unsupported"):
                raise damaged("its header cannot be read") from error
            raise UnsupportedMedia(
                "unsupported_variant",
                f"This {self._format.upper()} file is of a kind that cannot be read ({error}). Save it as PNG or JPEG.",
            ) from error

    def _metadata(self, mode: Literal["grey", "rgb"]) -> tuple[int, Metadata, tuple[str, ...]]:
        """Orientation, metadata and notes from the header."""
        info: dict[Any, Any] = {**self._image.info}
        if self._format == "png" and isinstance(self._file, Path):
            info |= png_profiles(self._file)
        notes: list[str] = []
        orientation, exif = 1, None
        try:
            if isinstance(self._image, TiffImagePlugin.TiffImageFile):
                exif = _of_tiff(self._file, exif_of_tiff)
            elif isinstance(info.get("exif"), bytes):
                block = ExifBlock(info["exif"])
                orientation = block.orientation
                width, height = self._image.size
                exif = block.upright(*((height, width) if turns_sideways(orientation) else (width, height)))
        except (ValueError, TypeError, LookupError, OSError, SyntaxError, struct.error):
            notes.append("The EXIF block is damaged and was left out.")
        records = None
        try:
            records = self._iptc(info)
        except (ValueError, TypeError, LookupError, OSError, SyntaxError, struct.error):
            notes.append("The IPTC block is damaged and was left out.")
        icc = info.get("icc_profile") or None
        if self._image.mode in _INKS:
            icc = colour.srgb_profile()
        elif icc is not None:
            problem = colour.profile_problem(icc, mode)
            if problem is not None:
                notes.append(problem)
                icc = None
        elif self._format == "png" and "srgb" not in info and isinstance(info.get("gamma"), float):
            icc = colour.profile_from_png(info["gamma"], info.get("chromaticity"), mode)
        metadata = Metadata(
            icc=icc,
            exif=exif,
            xmp=upright_xmp(info.get("xmp") or info.get("XML:com.adobe.xmp")),
            iptc=records,
            dpi=resolution(info, turns_sideways(orientation)),
        )
        return orientation, metadata, tuple(notes)

    def _iptc(self, info: Mapping[Any, Any]) -> bytes | None:
        """IIM records of a TIFF, a JPEG or a PNG. Raises ValueError, or what Pillow raises, for nonsense."""
        if isinstance(self._image, TiffImagePlugin.TiffImageFile):
            return _of_tiff(self._file, iptc.of_tiff)
        return iptc.of_block(info.get("photoshop", {}).get(iptc.IPTC_RESOURCE) or info.get("iptc"))

    def shrink(self, max_side: int) -> None:
        """Let the JPEG decoder work at a fraction of the size, at least `max_side`; other formats are untouched."""
        self._image.draft(None, (max_side, max_side))
        width, height = self._image.size
        if turns_sideways(self.orientation):
            width, height = height, width
        self.info = replace(self.info, width=width, height=height)

    def read_into(self, stored: NDArray[Any]) -> None:
        """Decode; a file that was cut off is taken as far as it goes, if at least half of the picture is there."""
        try:
            self._image.load()
        except (OSError, SyntaxError) as error:
            self._load_the_rest(error)
        height, width, _ = stored.shape
        if self._image.size != (width, height):
            raise damaged("its header and its picture disagree about the size")
        convert = _converter(self._image, self.info)
        for rows in strips(height, width):
            part = self._image.crop((0, rows.start, width, rows.stop))
            stored[rows] = convert(part).reshape(rows.stop - rows.start, width, stored.shape[2])
        self.metadata = replace(self.metadata, text=_texts(self._image))

    def _load_the_rest(self, first: Exception) -> None:
        """Decode again without giving up where the data ends."""
        size = self._image.size
        self._image = self._open()
        self._image.draft(None, size)
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            self._image.load()
        except (OSError, SyntaxError) as error:
            raise damaged("its picture data cannot be decoded") from error
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        present = _share_present(self._image)
        if present < _MIN_PRESENT:
            raise damaged(f"only {present:.0%} of its picture can be decoded") from first
        if present < 1:
            self.info = noted(self.info, f"The file is cut off: the last {1 - present:.1%} of the picture is missing.")
        else:
            self.info = noted(self.info, "The file is damaged or cut off; parts of the picture may be wrong.")


def _share_present(image: Image.Image) -> float:
    """The share of rows above the flat filling that decoders put where data is missing."""
    width, height = image.size
    last = np.asarray(image.crop((0, height - 1, width, height)))
    for rows in reversed(list(strips(height, width))):
        differs = (np.asarray(image.crop((0, rows.start, width, rows.stop))) != last).reshape(
            rows.stop - rows.start, -1
        )
        changed = np.flatnonzero(differs.any(axis=1))
        if changed.size:
            return float(min(height, rows.start + changed[-1] + 2)) / height
    return 0.0


def _of_tiff(file: Path | IO[bytes], read: Callable[[IO[bytes]], bytes | None]) -> bytes | None:
    """What `read` finds from the file's beginning."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return read(opened)
    file.seek(0)
    return read(file)


def layout_of(image: Image.Image) -> Layout:
    """Mode, alpha and bit depth that Pillow's picture is brought to."""
    transparent = "transparency" in image.info
    mode = image.mode
    if mode in ("1", "L"):
        return "grey", transparent, 8
    if mode in ("LA", "La"):
        return "grey", True, 8
    if mode == "I" or mode.startswith("I;16"):
        return "grey", False, 16
    if mode == "F":
        return "grey", False, 32
    if mode in ("P", "RGB"):
        return "rgb", transparent, 8
    if mode in ("RGBA", "RGBa", "PA"):
        return "rgb", True, 8
    if mode in ("RGBX", "YCbCr", "HSV") or mode in _INKS:
        return "rgb", False, 8
    raise UnsupportedMedia("unsupported_pixels", f"Pictures with {mode} pixels cannot be read. Send an RGB picture.")


def _converter(image: Image.Image, info: PhotoInfo) -> Any:
    """A function from a strip of the picture to its samples."""
    if info.bit_depth == 16:
        return lambda part: np.clip(np.asarray(part), 0, 65535).astype(np.uint16)
    if info.bit_depth == 32:
        return lambda part: np.nan_to_num(np.asarray(part), posinf=1.0, neginf=0.0)
    target = ("L" if info.mode == "grey" else "RGB") + ("A" if info.alpha else "")
    if image.mode in _INKS:
        transform = colour.ink_transform(image.mode, image.info.get("icc_profile"))
        if transform is not None:
            return lambda part: np.asarray(ImageCms.applyTransform(part, transform))
    if image.mode == target:
        return np.asarray
    return lambda part: np.asarray(part.convert(target))


def _conversion_notes(image: Image.Image) -> tuple[str, ...]:
    """What the user should know about how this picture becomes grey or RGB."""
    notes = []
    frames = getattr(image, "n_frames", 1)
    if image.format == "MPO":
        notes.append("Further pictures stored in the file were left out.")
    elif image.format == "PSD":
        notes.append("The layers are merged.")
    elif image.format not in ("ICO", "CUR", "DDS") and frames > 1:
        notes.append(f"First of {frames} {'pages' if image.format == 'TIFF' else 'frames'}.")
    if image.format == "SGI" and _sgi_is_deep(image):
        notes.append("Reduced from 16 to 8 bits per sample.")
    if image.mode == "CMYK":
        icc = image.info.get("icc_profile")
        sound = icc is not None and colour.profile_problem(icc, "cmyk") is None
        notes.append(f"Converted from CMYK to sRGB {'by its colour profile' if sound else 'without a colour profile'}.")
    elif image.mode == "LAB":
        notes.append("Converted from Lab to sRGB.")
    elif image.mode in ("P", "PA"):
        notes.append("Converted from a palette.")
    elif image.mode == "1":
        notes.append("Converted from black and white to grey.")
    return tuple(notes)


def _sgi_is_deep(image: Image.Image) -> bool:
    """Whether an SGI file has 16 bits per sample, of which Pillow keeps the upper 8."""
    if not isinstance(image, ImageFile.ImageFile):
        return False
    codec, arguments = image.tile[0].codec_name, image.tile[0].args
    return codec == "SGI16" or (codec == "sgi_rle" and isinstance(arguments, tuple) and arguments[2] == 2)


def _texts(image: Image.Image) -> tuple[tuple[str, str], ...]:
    """Comments and PNG texts, without what is kept elsewhere."""
    texts = [
        (str(key), str(value))
        for key, value in getattr(image, "text", {}).items()
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type")
    ]
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0 "):
        texts.append(("Comment", comment.rstrip(b"\0").decode("utf-8", "replace")))
    return tuple(texts)


def _webp_is_lossless(file: Path | IO[bytes]) -> bool:
    """Whether the first picture of a WebP file is stored exactly (VP8L)."""
    opened = file.open("rb") if isinstance(file, Path) else file
    try:
        opened.seek(12)
        while len(header := opened.read(8)) == 8:
            if header[:4] == b"VP8L":
                return True
            if header[:4] in (b"VP8 ", b"ANMF"):
                return False
            size = int.from_bytes(header[4:], "little")
            opened.seek(size + size % 2, 1)
        return False
    finally:
        if isinstance(file, Path):
            opened.close()
