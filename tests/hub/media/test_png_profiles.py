from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hub.media import iptc
from hub.media.image import Photo, PhotoDecoder, PhotoInfo, encode
from hub.media.pixels import stored_view
from hub.media.png_profiles import png_profiles, raw_profile

from .conftest import exif_block, png_chunk, write

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def sideways(picture: NDArray[np.uint8], path: Path, depth: int, chunk: bytes, *, behind: bool) -> Path:
    """A PNG of the picture stored for orientation 6, with this chunk before or behind its pixels."""
    stored = np.ascontiguousarray(stored_view(picture, 6))
    if depth == 8:
        Image.fromarray(stored).save(path, "PNG")
    else:
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(stored.astype(np.uint16) * 257))
    data = path.read_bytes()
    at = len(data) - 12 if behind else 33
    return write(path, data[:at] + chunk + data[at:])


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", ["eXIf", "exif", "APP1", "zTXt", "iTXt"])
def test_exif_is_found_and_its_orientation_applied(
    kind: str, behind: bool, depth: int, picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    block = exif_block(6)
    key, text = (part.encode() for part in raw_profile("APP1" if kind == "APP1" else "exif", block))
    chunk = {
        "eXIf": png_chunk(b"eXIf", block.removeprefix(b"Exif\0\0")),
        "exif": png_chunk(b"tEXt", key + b"\0" + text),
        "APP1": png_chunk(b"tEXt", key + b"\0" + text),
        "zTXt": png_chunk(b"zTXt", key + b"\0\0" + zlib.compress(text)),
        "iTXt": png_chunk(b"iTXt", key + b"\0\1\0en\0\0" + zlib.compress(text)),
    }[kind]
    path = sideways(picture, tmp_path / "a.png", depth, chunk, behind=behind)
    info = decoder.probe(path)
    assert (info.width, info.height) == (64, 48)
    photo = decoder.decode(path)
    np.testing.assert_array_equal(photo.pixels // (1 if depth == 8 else 257), picture)
    assert photo.exif is not None
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + photo.exif)
    assert exif[0x010F] == "Camera Works"
    assert 0x0112 not in exif
    assert photo.text == ()


def test_xmp_and_iptc_behind_the_pixels(picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    records = b"\x1c\x02\x78\x00\x04lake"
    key, text = (part.encode() for part in raw_profile("8bim", iptc.to_resources(records)))
    chunks = png_chunk(b"tEXt", key + b"\0" + text) + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    Image.fromarray(picture).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    write(tmp_path / "a.png", data[:-12] + chunks + data[-12:])
    photo = decoder.decode(tmp_path / "a.png")
    assert photo.xmp == XMP
    assert photo.iptc == records


def test_texts_of_deep_pictures_survive(
    deep_picture: NDArray[np.uint16], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    texts = (("Title", "Lake"), ("Comment", "Ein See: überall ☀"))
    photo = Photo(deep_picture, PhotoInfo("png", 56, 40, 16, "rgb", False), xmp=XMP, text=texts)
    encode(photo, tmp_path / "a.png")
    assert decoder.decode(tmp_path / "a.png").text == texts


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nzzzz"),
        png_chunk(b"tEXt", b"Raw profile type exif\0"),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0no stream"),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n4\n" + b"0" * (17 << 20))),
        png_chunk(b"iTXt", b"Raw profile type exif"),
        (1 << 30).to_bytes(4, "big") + b"eXIf",
    ],
)
def test_what_makes_no_sense_is_left_out(chunk: bytes, tmp_path: Path) -> None:
    assert png_profiles(write(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n" + chunk)) == {}
