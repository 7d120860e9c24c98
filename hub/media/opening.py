"""Finds the reader for a file. Heavy readers are imported when a file first needs them."""

from __future__ import annotations

from pathlib import Path

from hub.errors import InvalidInput
from hub.media.pillow_source import PillowSource
from hub.media.sniffing import HEAD_BYTES, identify
from hub.media.source import PhotoSource, damaged

_MAYBE_DEEP = frozenset(("png", "avif", "jpeg2000", "jpeg", "ppm"))


def open_source(path: Path, max_pixels: int) -> PhotoSource:
    """Read the file's header.

    Raises UnsupportedMedia, InvalidInput (empty or damaged) or TooLarge (from the header alone).
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise InvalidInput("empty_file", "The file is empty. Send a photo.")
    name = identify(head, path.suffix)
    if name == "heic":
        from hub.media.heif_source import HeifSource

        return HeifSource(path, max_pixels)
    if name == "raw":
        from hub.media.raw_source import RawSource

        return RawSource(path, max_pixels)
    if name == "tiff":
        return _open_tiff(path, max_pixels)
    if name in _MAYBE_DEEP:
        from hub.media.deep_source import open_deep

        deep = open_deep(path, name, max_pixels)
        if deep is not None:
            return deep
    return PillowSource(path, name, max_pixels)


def open_preview(path: Path, max_pixels: int, max_side: int) -> PhotoSource:
    """Read the header for a small picture: a raw file's own preview, a JPEG decoded at a fraction of its size."""
    source = open_source(path, max_pixels)
    if source.info.format == "raw":
        from hub.media.raw_source import RawSource

        if isinstance(source, RawSource):
            source = source.thumbnail(max_pixels) or source
    if isinstance(source, PillowSource):
        source.shrink(max_side)
    return source


def _open_tiff(path: Path, max_pixels: int) -> PhotoSource:
    """Raw files built like a TIFF, deep TIFFs, and the plain ones that Pillow reads through libtiff."""
    import tifffile

    from hub.media.raw_source import RawSource, is_raw
    from hub.media.tiff_source import TiffSource, is_deep

    if is_raw(path):
        return RawSource(path, max_pixels)
    try:
        if is_deep(path):
            return TiffSource(path, max_pixels)
    except tifffile.TiffFileError as error:
        raise damaged("its header makes no sense") from error
    return PillowSource(path, "tiff", max_pixels)
