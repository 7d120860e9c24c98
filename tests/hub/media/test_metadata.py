from __future__ import annotations

import pytest
from PIL import Image

from hub.media.metadata import ExifBlock, upright_xmp

from .conftest import exif_block


def test_upright_block_loses_orientation_and_nothing_else() -> None:
    block = ExifBlock(exif_block(6))
    assert block.orientation == 6
    upright = block.upright(48, 64)
    assert ExifBlock(upright).orientation == 1
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + upright)
    assert 0x0112 not in exif
    assert exif[0x010F] == "Camera Works"
    assert exif[0x0132] == "2026:11:23 01:02:03"
    inner = exif.get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003]) == (48, 64)
    assert exif.get_ifd(0x8825)[2] == (59.0, 20.0, 0.0)


@pytest.mark.parametrize("orientation", [0, 9, 600])
def test_nonsense_orientation_is_normal(orientation: int) -> None:
    assert ExifBlock(exif_block(orientation)).orientation == 1


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", b"nonsense", b"II*\0\x08\0\0\0\xff\xff"])
def test_a_damaged_block_says_so(block: bytes) -> None:
    with pytest.raises(ValueError, match="EXIF"):
        ExifBlock(block)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        ('<r tiff:Orientation="8"/>', b'<r tiff:Orientation="1"/>'),
        (b"<r tiff:Orientation='3'/>", b"<r tiff:Orientation='1'/>"),
        (b"<tiff:Orientation>6</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        (b" \0\0", None),
        (None, None),
    ],
)
def test_xmp_orientation_becomes_normal(packet: object, expected: bytes | None) -> None:
    assert upright_xmp(packet) == expected
