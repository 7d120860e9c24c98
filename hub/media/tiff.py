"""Writes TIFF at 8, 16 and 32 bits with its metadata."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import tifffile
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from hub.media.iptc import IPTC_TAG
from hub.media.metadata import DESCRIPTIVE_TAGS, EXIF_IFD, GPS_IFD
from hub.media.photo import Metadata

_XMP = 700
_BYTE, _ASCII, _SHORT, _LONG, _UNDEFINED = 1, 2, 3, 4, 7
_DIRECTORIES = (EXIF_IFD, GPS_IFD)
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131
_ROWS_PER_STRIP_PIXELS = 1 << 18


def write_tiff(path: Path, pixels: NDArray[Any], metadata: Metadata) -> None:
    """Write (H, W, 1|2|3|4) uint8, uint16 or float32 pixels, losslessly compressed; alpha is marked as straight."""
    height, width, channels = pixels.shape
    exif = Image.Exif()
    if metadata.exif:
        exif.load(b"Exif\0\0" + metadata.exif)
    texts = dict(metadata.text)
    software = exif.get(_SOFTWARE)
    description = exif.get(_DESCRIPTION) or texts.get("Description") or texts.get("Comment")
    tifffile.imwrite(
        path,
        pixels[..., 0] if channels == 1 else pixels,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        compressionargs={"level": 4},
        predictor=True,
        rowsperstrip=max(1, min(height, _ROWS_PER_STRIP_PIXELS // width)),
        iccprofile=metadata.icc,
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        description=_ascii(description),
        software=_ascii(software) or False,
        metadata=None,
        extratags=_extra_tags(exif, metadata),
    )
    _append_directories(path, exif)


def _ascii(value: object) -> str | None:
    """Text as TIFF's 7-bit ASCII."""
    return value.rstrip("\0").encode("ascii", "replace").decode() or None if isinstance(value, str) else None


def _extra_tags(exif: Image.Exif, metadata: Metadata) -> list[tuple[int, int, int, Any, bool]]:
    """(code, type, count, value, first page only) of EXIF's first directory (texts, small numbers), XMP and IPTC."""
    tags: list[tuple[int, int, int, Any, bool]] = []
    for code in DESCRIPTIVE_TAGS:
        if code in (_DESCRIPTION, _SOFTWARE):
            continue
        value = exif.get(code)
        if isinstance(value, str) and (text := _ascii(value)):
            tags.append((code, _ASCII, len(text) + 1, text, True))
        elif isinstance(value, int) and 0 <= value < 65536:
            tags.append((code, _SHORT, 1, value, True))
        elif isinstance(value, bytes) and value:
            tags.append((code, _BYTE, len(value), value, True))
    if metadata.xmp:
        tags.append((_XMP, _BYTE, len(metadata.xmp), metadata.xmp, True))
    if metadata.iptc:
        tags.append((IPTC_TAG, _UNDEFINED, len(metadata.iptc), metadata.iptc, True))
    return tags


def _append_directories(path: Path, exif: Image.Exif) -> None:
    """Put the EXIF and GPS directories at the end of the file, and behind them a first directory that names them.

    tifffile writes neither; the old first directory stays in the file, unused (about 200 bytes).
    """
    groups = {code: values for code in _DIRECTORIES if (values := exif.get_ifd(code))}
    with path.open("r+b") as file:
        header = file.read(8)
        order = "<" if header.startswith(b"II") else ">"
        if not groups or header[2:4] not in (b"*\0", b"\0*"):
            return
        file.seek(struct.unpack(order + "I", header[4:])[0])
        count = struct.unpack(order + "H", file.read(2))[0]
        entries = [file.read(12) for _ in range(count)]
        end = file.read(4)
        for code, values in groups.items():
            offset = _padded_end(file)
            directory = TiffImagePlugin.ImageFileDirectory_v2(header[:4] + bytes(4), group=code)
            for tag, value in values.items():
                directory[tag] = value
            file.write(directory.tobytes(offset))
            entries.append(struct.pack(order + "HHII", code, _LONG, 1, offset))
        entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2])[0])
        offset = _padded_end(file)
        file.write(struct.pack(order + "H", len(entries)) + b"".join(entries) + end)
        file.seek(4)
        file.write(struct.pack(order + "I", offset))


def _padded_end(file: BinaryIO) -> int:
    """Pad the file to an even length and stay at its end."""
    size = file.seek(0, 2)
    file.write(bytes(size % 2))
    return size + size % 2
