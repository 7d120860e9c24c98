from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, IptcImagePlugin

from hub.media import iptc
from hub.media.image import Photo, PhotoDecoder, PhotoInfo, encode, plan_output

from .conftest import write

# Caption, credit and the mark of UTF-8, as IIM records; an odd number of bytes.
RECORDS = b"\x1c\x01\x5a\x00\x03\x1b%G" + b"\x1c\x02\x78\x00\x06a lake" + b"\x1c\x02\x6e\x00\x03Ann"
# A resource before it that is not IPTC, with a name and a body of odd lengths.
RESOURCES = b"8BIM\x04\x25\x04name\0" + struct.pack(">I", 3) + b"abc\0" + iptc.to_resources(RECORDS)


def save_jpeg(path: Path, picture: NDArray[np.uint8]) -> None:
    body = b"Photoshop 3.0\0" + RESOURCES
    Image.fromarray(picture).save(path, "JPEG", extra=b"\xff\xed" + struct.pack(">H", len(body) + 2) + body)


@pytest.mark.parametrize("form", ["jpeg", "png", "tiff"])
def test_iptc_survives(form: str, picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    save_jpeg(tmp_path / "a.jpg", picture)
    photo = decoder.decode(tmp_path / "a.jpg")
    assert photo.iptc == RECORDS
    assert plan_output(photo, form).notes == ()
    encode(photo, tmp_path / "b", format=form)
    again = decoder.decode(tmp_path / "b")
    assert again.iptc == RECORDS
    assert again.info.notes == ()
    if form != "png":
        with Image.open(tmp_path / "b") as image:
            # Another reader finds it too.
            found = IptcImagePlugin.getiptcinfo(image)
        assert found is not None
        assert found[(2, 120)] == b"a lake"


def test_a_format_without_iptc_says_so(picture: NDArray[np.uint8]) -> None:
    photo = Photo(picture, PhotoInfo("jpeg", 64, 48, 8, "rgb", False), iptc=RECORDS)
    assert plan_output(photo, "webp").notes == ("Its IPTC block was left out, since WEBP holds none.",)


def test_iptc_too_long_for_a_jpeg_is_named(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    photo = Photo(picture, PhotoInfo("jpeg", 64, 48, 8, "rgb", False), iptc=RECORDS + bytes(70_000))
    assert plan_output(photo).notes == ("Its IPTC block is too long for a JPEG and was left out.",)
    assert encode(photo, tmp_path / "a.jpg") == ".jpg"


def words(order: str) -> list[int]:
    """The records as 32-bit numbers."""
    numbers: list[int] = np.frombuffer(RECORDS + bytes(-len(RECORDS) % 4), order).tolist()
    return numbers


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("code", "kind", "block"),
    [
        (iptc.IPTC_TAG, 7, RECORDS),
        (iptc.IPTC_TAG, 4, words("<u4")),
        (iptc.IPTC_TAG, 4, words(">u4")),
        (iptc.PHOTOSHOP_TAG, 7, RESOURCES),
    ],
)
def test_tiff_tags(
    depth: int, code: int, kind: int, block: bytes | list[int], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    pixels = np.zeros((4, 4, 3), f"uint{depth}")
    tag = [(code, kind, len(block), block, True)]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", byteorder="<", extratags=tag)
    found = decoder.decode(tmp_path / "a.tif").iptc
    assert found is not None
    assert found.rstrip(b"\0") == RECORDS


def test_damaged_iptc_is_left_out_with_a_note(
    picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    Image.fromarray(picture).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    path = write(tmp_path / "a.jpg", data[:2] + iptc.jpeg_segment(b"nonsense") + data[2:])
    tag = [(iptc.IPTC_TAG, 7, 8, b"nonsense", True)]
    tifffile.imwrite(tmp_path / "a.tif", picture.astype(np.uint16), photometric="rgb", extratags=tag)
    for source in (path, tmp_path / "a.tif"):
        photo = decoder.decode(source)
        assert photo.iptc is None
        assert photo.info.notes == ("The IPTC block is damaged and was left out.",)


@pytest.mark.parametrize("length", [5, 11, 30, len(RESOURCES) - 2])
def test_resources_cut_off(length: int) -> None:
    with pytest.raises(ValueError, match="cut off"):
        iptc.of_resources(RESOURCES[:length])
