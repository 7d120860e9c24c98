"""Writes PNG at 8 and 16 bits with its metadata chunks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from hub.media.iptc import to_resources
from hub.media.photo import Metadata
from hub.media.png_profiles import raw_profile

_HEADER_BYTES = 8 + 25
_INCHES_PER_METRE = 1 / 0.0254


def write_png(path: Path, pixels: NDArray[Any], metadata: Metadata, *, quick: bool = False) -> None:
    """Write (H, W, 1|2|3|4) uint8 or uint16 pixels.

    quick: compress for speed; about a fifth larger.
    """
    samples = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if quick:
        encoded = imagecodecs.png_encode(
            samples, 1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.SUB
        )
    else:
        encoded = imagecodecs.png_encode(samples, 2)
    with path.open("wb") as file, memoryview(encoded) as data:
        file.write(data[:_HEADER_BYTES])
        for kind, body in _chunks(metadata):
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
        file.write(data[_HEADER_BYTES:])


def _chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Chunks to stand between the header and the pixels."""
    chunks: list[tuple[bytes, bytes]] = []
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        across, down = (round(value * _INCHES_PER_METRE) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    texts = PngImagePlugin.PngInfo()
    if metadata.xmp:
        texts.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    if metadata.iptc:
        texts.add_text(*raw_profile("iptc", to_resources(metadata.iptc)), zip=True)
    for key, value in metadata.text:
        if 1 <= len(key.encode("latin-1", "replace")) <= 79:
            texts.add_text(key, value)
    chunks.extend((kind, body) for kind, body, *_ in texts.chunks)
    return chunks
