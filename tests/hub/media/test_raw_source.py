from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hub.errors import UnsupportedMedia
from hub.media.image import PhotoDecoder, encode, plan_output


def write_dng(path: Path, *, orientation: int = 1) -> None:
    """A small uncompressed DNG of a Bayer sensor: red at the left, blue at the right."""
    height, width = 96, 128
    sensor = np.full((height, width), 600, np.uint16)
    sensor[0::2, 0::2] = np.where(np.arange(0, width, 2) < width // 2, 14_000, 600)
    sensor[1::2, 1::2] = np.where(np.arange(1, width, 2) >= width // 2, 14_000, 600)
    matrix = [10000, 10000, 0, 10000, 0, 10000, 0, 10000, 10000, 10000, 0, 10000, 0, 10000, 0, 10000, 10000, 10000]
    tags = [
        (271, 2, 4, "Own", True),
        (272, 2, 7, "Sensor", True),
        (274, 3, 1, orientation, True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, b"\0\1\1\2", True),
        (50706, 1, 4, b"\1\4\0\0", True),
        (50708, 2, 7, "Sensor", True),
        (50714, 3, 1, 0, True),
        (50717, 3, 1, 16383, True),
        (50721, 10, 9, matrix, True),
        (50778, 3, 1, 21, True),
    ]
    tifffile.imwrite(path, sensor, photometric=32803, extratags=tags, metadata=None)


@pytest.mark.parametrize(("orientation", "size"), [(1, (128, 96)), (6, (96, 128)), (8, (96, 128))])
def test_raw_is_developed_upright_at_sixteen_bits(
    orientation: int, size: tuple[int, int], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    write_dng(tmp_path / "a.dng", orientation=orientation)
    photo = decoder.decode(tmp_path / "a.dng")
    assert (photo.info.format, photo.info.width, photo.info.height) == ("raw", *size)
    assert photo.pixels.dtype == np.uint16
    assert photo.icc is not None
    assert photo.exif is not None
    assert b"Own" in photo.exif
    start = {1: photo.pixels[:, :40], 6: photo.pixels[:40], 8: photo.pixels[-40:]}[orientation]
    red, _, blue = start.reshape(-1, 3).mean(axis=0)
    assert red > 2 * blue
    assert plan_output(photo).format == "png"
    encode(photo, tmp_path / "out.png")
    assert decoder.decode(tmp_path / "out.png").info.bit_depth == 16
    assert decoder.preview(tmp_path / "a.dng", max_side=50).pixels.max() > 100


def test_a_raw_file_is_known_without_its_suffix(decoder: PhotoDecoder, tmp_path: Path) -> None:
    write_dng(tmp_path / "photo")
    assert decoder.probe(tmp_path / "photo").format == "raw"


def test_an_unknown_raw_file_is_told_so(decoder: PhotoDecoder, tmp_path: Path) -> None:
    (tmp_path / "a.raf").write_bytes(b"FUJIFILMCCD-RAW " + bytes(500))
    with pytest.raises(UnsupportedMedia, match="DNG or TIFF"):
        decoder.decode(tmp_path / "a.raf")
