from __future__ import annotations

import numpy as np
import pytest

from hub.errors import InvalidInput
from hub.media.image import FORMATS, Photo, PhotoInfo, encode, output_suffix, plan_output


def photo_of(form: str, depth: int = 8, *, alpha: bool = False, icc: bytes | None = None, side: int = 4) -> Photo:
    dtype = {8: np.uint8, 16: np.uint16, 32: np.float32}[depth]
    pixels = np.zeros((2, side, 3 + alpha), dtype)
    return Photo(pixels, PhotoInfo(form, side, 2, depth, "rgb", alpha), icc=icc)


@pytest.mark.parametrize(
    ("photo", "suffix"),
    [
        (photo_of("jpeg"), ".jpg"),
        (photo_of("jpeg", 16), ".png"),
        (photo_of("png", 16), ".png"),
        (photo_of("webp", alpha=True), ".webp"),
        (photo_of("webp", side=20_000), ".png"),
        (photo_of("tiff", 32), ".tiff"),
        (photo_of("avif", 16), ".avif"),
        (photo_of("heic"), ".heic"),
        (photo_of("heic", alpha=True), ".png"),
        (photo_of("bmp"), ".bmp"),
        (photo_of("bmp", alpha=True), ".png"),
        (photo_of("bmp", icc=b"profile"), ".png"),
        (photo_of("gif"), ".png"),
        (photo_of("raw", 16), ".png"),
    ],
)
def test_same_follows_the_input_where_it_can(photo: Photo, suffix: str) -> None:
    assert output_suffix(photo) == suffix
    assert bool(plan_output(photo).notes) == (suffix[1:4] not in photo.info.format and suffix != ".jpg") or (
        photo.info.format == "avif"
    )


def test_unknown_format_lists_the_valid_ones() -> None:
    with pytest.raises(InvalidInput, match="png, jpeg, webp, tiff, avif") as caught:
        plan_output(photo_of("png"), "tga")
    assert caught.value.data["formats"] == list(FORMATS)


def test_a_picture_too_long_for_the_asked_format() -> None:
    with pytest.raises(InvalidInput, match="16383"):
        plan_output(photo_of("png", side=16_384), "webp")


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_out_of_range(quality: int, tmp_path) -> None:
    with pytest.raises(InvalidInput, match="1 to 100"):
        encode(photo_of("png"), tmp_path / "a", quality=quality)


def test_blocks_too_long_for_a_jpeg_are_named(tmp_path) -> None:
    photo = photo_of("jpeg")
    long = Photo(photo.pixels, photo.info, exif=b"MM\0*" + bytes(70_000))
    assert plan_output(long).notes == ("Its EXIF block is too long for a JPEG and was left out.",)
    assert encode(long, tmp_path / "a.jpg") == ".jpg"
