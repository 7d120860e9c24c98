"""Media that the tests draw themselves."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from hub.media.image import PhotoDecoder
from hub.media.opening import open_source
from hub.media.source import PhotoSource, stored_shape

# Compressed (linear) values in place of sRGB's curve: a profile that visibly is not sRGB.
WIDE_PRIMARIES = (0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0)


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhotoDecoder]:
    decoder = PhotoDecoder(
        max_pixels=4_000_000,
        timeout=60,
        memory_bytes=4 << 30,
        workers=1,
        temp_dir=tmp_path_factory.mktemp("decoder"),
    )
    yield decoder
    decoder.close()


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """(48, 64, 3) smooth colours without any symmetry, so that a wrong turn or flip cannot hide."""
    y, x = np.mgrid[0:48, 0:64]
    red, green = x * 255 / 63, y * 255 / 47
    blue = 255 * np.exp(-((x - 12) ** 2 + (y - 10) ** 2) / 120)
    return np.dstack([red, green, blue]).round().astype(np.uint8)


@pytest.fixture(scope="session")
def deep_picture() -> NDArray[np.uint16]:
    """(40, 56, 3) whose lower bytes matter."""
    return np.random.default_rng(5).integers(0, 65536, (40, 56, 3), dtype=np.uint16)


@pytest.fixture(scope="session")
def wide_profile() -> bytes:
    """A wide-gamut RGB profile with gamma 1.8."""
    import imagecodecs

    return bytes(imagecodecs.cms_profile("rgb", whitepoint=(0.3457, 0.3585, 1.0), primaries=WIDE_PRIMARIES, gamma=1.8))


@pytest.fixture(scope="session")
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_block(orientation: int | None = None) -> bytes:
    """An EXIF block with a camera's name, an exposure time, a size and a place."""
    exif = Image.Exif()
    exif[0x010F] = "Camera Works"
    exif[0x0132] = "2026:11:23 01:02:03"
    if orientation is not None:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({0x829A: TiffImagePlugin.IFDRational(1, 250), 0xA002: 64, 0xA003: 48})
    exif.get_ifd(0x8825).update({1: "N", 2: (59.0, 20.0, 0.0)})
    return exif.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bytes(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG from filtered rows, with `extra` chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def read_traced(path: Path) -> tuple[PhotoSource, NDArray[Any], int]:
    """A file's source, its pixels as it stores them, and the bytes allocated at most while they were read."""
    source = open_source(path, 10_000_000)
    stored = np.empty(stored_shape(source), source.info.dtype)
    tracemalloc.start()
    try:
        source.read_into(stored)
        return source, stored, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
