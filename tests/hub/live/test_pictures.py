"""Frames of every kind that browsers and programs send, and of kinds that nobody should."""

from __future__ import annotations

import io
import struct
import time
import zlib
from base64 import b64encode, encodebytes
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hub.errors import HubError, InvalidInput, TooLarge, UnsupportedMedia
from hub.live.headers import read_frame
from hub.live.pictures import decode, encode, from_base64, write_rate

Save = Callable[..., bytes]
Flat = Callable[..., NDArray[np.uint8]]

MOST = 1_000_000


@pytest.fixture
def picture(noisy_photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return noisy_photo


@pytest.mark.parametrize(("kind", "how"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_what_is_stored_exactly_is_read_exactly(
    save: Save, picture: NDArray[np.uint8], kind: str, how: dict[str, bool]
) -> None:
    assert np.array_equal(decode(save(picture, kind, **how), MOST), picture)


@pytest.mark.parametrize(
    ("kind", "how"),
    [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}), ("WEBP", {"quality": 95})],
)
def test_lossy_frames_are_read(save: Save, clean_photo: NDArray[np.uint8], kind: str, how: dict[str, int]) -> None:
    decoded = decode(save(clean_photo, kind, **how), MOST)
    assert decoded.shape == clean_photo.shape
    assert np.abs(decoded.astype(int) - clean_photo).mean() < 4


def test_grey_stays_grey(save: Save, picture: NDArray[np.uint8]) -> None:
    grey = picture[..., 1]
    assert np.array_equal(decode(save(grey), MOST), grey)
    black_and_white = Image.fromarray(grey).convert("1")
    assert np.array_equal(decode(save(black_and_white), MOST), np.asarray(black_and_white.convert("L")))


def test_deep_grey_keeps_its_range(save: Save) -> None:
    deep = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    decoded = decode(save(deep), MOST)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, np.rint(deep / 257).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_parts_become_black(save: Save, flat: Flat, kind: str) -> None:
    pixels = np.dstack([flat(200, 100, 40), np.full((40, 60), 255, np.uint8)])
    pixels[:20, :, 3] = 0
    decoded = decode(save(pixels, kind, lossless=True), MOST)
    assert decoded[:20].max() == 0
    assert np.array_equal(decoded[20:], flat(200, 100, 40)[20:])


def test_palettes_and_inks_become_rgb(save: Save, flat: Flat) -> None:
    palette = Image.fromarray(flat(250, 10, 20)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.abs(decode(save(palette), MOST).astype(int) - flat(250, 10, 20)).max() <= 4
    inks = Image.fromarray(flat(250, 10, 20)).convert("CMYK")
    assert np.abs(decode(save(inks, "JPEG", quality=95), MOST).astype(int) - flat(250, 10, 20)).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_frames_are_turned_upright(save: Save, orientation: int, kind: str) -> None:
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(stored, kind, exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
        expected = np.asarray(image if turn is None else image.transpose(Image.Transpose(turn)))
    assert np.array_equal(decode(data, MOST), expected)


def test_a_damaged_exif_block_does_no_harm(save: Save, picture: NDArray[np.uint8]) -> None:
    data = save(picture, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(decode(data, MOST), picture)


def test_the_first_picture_of_an_animation_is_taken(save: Save, flat: Flat) -> None:
    others = [Image.fromarray(flat(0, shade, 0)) for shade in (90, 200)]
    data = save(flat(250, 0, 0), "WEBP", save_all=True, append_images=others, lossless=True)
    assert np.array_equal(decode(data, MOST), flat(250, 0, 0))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def webp_of(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": png_of(20_000, 20_000, chunk(b"IDAT", zlib.compress(bytes(1 << 20))), chunk(b"IEND", b"")),
    "webp": webp_of(b"VP8X", b"\0" * 4 + (16_382).to_bytes(3, "little") * 2 + b"\0" * 20),
    "webp lossless": webp_of(b"VP8L", b"\x2f" + ((16_000 << 14) + 16_000).to_bytes(4, "little") + b"\0" * 20),
    "webp lossy": webp_of(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_000, 16_000) + b"\0" * 20),
    "jpeg": b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 65_000, 65_000, 3) + b"\0" * 9 + b"\xff\xda\0\x0c" * 2,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    began = time.monotonic()
    with pytest.raises(TooLarge) as caught:
        decode(BOMBS[name], MOST)
    assert caught.value.code == "too_many_pixels"
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_frame_that_would_grow_in_the_network_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge) as caught:
        decode(png_of(*size), MOST)
    assert caught.value.code == "too_long"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (1000, 1000), (1280, 720), (720, 1280)])
def test_sizes_that_cameras_have_are_taken(save: Save, size: tuple[int, int]) -> None:
    assert decode(save(np.zeros((*size, 3), np.uint8)), MOST).shape == (*size, 3)


def test_hostile_files_are_told_apart(save: Save, picture: NDArray[np.uint8]) -> None:
    jpeg = save(picture, "JPEG")
    for data, code in (
        (b"", "empty_frame"),
        (b"GIF89a" + bytes(100), "unsupported_format"),
        (b"RIFF\x10\0\0\0WEBP", "damaged_frame"),
        (jpeg[:3], "damaged_frame"),
        (jpeg[: len(jpeg) // 2], "damaged_frame"),
        (jpeg[:20] + bytes(1000), "damaged_frame"),
        (save(picture)[:200], "damaged_frame"),
        (save(picture, "WEBP")[:200], "damaged_frame"),
        (png_of(0, 10, chunk(b"IEND", b"")), "damaged_frame"),
        (png_of(16, 16, chunk(b"IDAT", b"nonsense"), chunk(b"IEND", b"")), "damaged_frame"),
    ):
        with pytest.raises(HubError) as caught:
            decode(data, MOST)
        assert caught.value.code == code, data[:20]
        assert isinstance(caught.value, InvalidInput | UnsupportedMedia)


def test_files_that_would_keep_a_decoder_busy_are_refused(save: Save, picture: NDArray[np.uint8]) -> None:
    jpeg = save(picture, "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    for data in (
        jpeg[:-2] + jpeg[scan:-2] * 5000 + jpeg[-2:],
        b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000 + jpeg[2:],
        b"\xff\xd8\xff" + b"\xff" * 1_000_000 + jpeg[2:],
        png_of(16, 16, *[chunk(b"tEXt", b"")] * 100_000),
    ):
        began = time.monotonic()
        with pytest.raises(InvalidInput):
            decode(data, MOST)
        assert time.monotonic() - began < 1


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 255, marker, 2 + len(data)) + data


def test_what_the_picture_does_not_need_costs_nothing(save: Save, picture: NDArray[np.uint8]) -> None:
    """Everything here is small, and sound enough to be accepted; Pillow would take seconds and gigabytes for it."""
    png, jpeg, webp = (save(picture, kind, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0") for kind in ("PNG", "JPEG", "WEBP"))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20)))
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20)))
    # Each tag claims to hold all the rest of a block in several segments.
    tags = b"".join(struct.pack("<HHII", tag, 7, 1 << 19, 10) for tag in range(2000))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 2000) + tags
    claims = segment(0xE1, b"Exif\0\0" + exif) + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 8
    icc = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([number, 30]) + bytes(65_000)) for number in range(1, 31))
    photoshop = segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5400) * 30
    tiny = b"".join(struct.pack("<4sI", kind, 0) for kind in (b"ABCD", b"EXIF") * 250_000)
    for data in (
        png[:33] + profile * 3000 + png[33:],
        png[:-12] + text * 3000 + png[-12:],
        jpeg[:2] + claims + jpeg[2:],
        jpeg[:2] + icc + photoshop + jpeg[2:],
        webp[:4] + struct.pack("<I", len(webp) - 8 + len(tiny)) + webp[8:] + tiny,
    ):
        assert len(data) < 4_200_000
        began = time.process_time()
        assert decode(data, MOST).shape == picture.shape
        assert time.process_time() - began < 0.5


def test_random_damage_is_never_more_than_an_error(save: Save, picture: NDArray[np.uint8]) -> None:
    random = np.random.default_rng(7)
    refused = 0
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = np.frombuffer(save(picture, kind), np.uint8)
        for _ in range(60):
            data = whole.copy()
            places = random.integers(0, min(len(data), 400), 6)
            data[places] = random.integers(0, 256, 6)
            try:
                assert decode(data.tobytes(), MOST).dtype == np.uint8
            except HubError:
                refused += 1
    assert 0 < refused < 180


def test_the_header_is_read_without_pillow(save: Save, picture: NDArray[np.uint8]) -> None:
    height, width = picture.shape[:2]
    for kind, how in (("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"x"})):
        assert read_frame(save(picture, kind, **how))[:3] == (kind.lower(), width, height)


def test_base64_is_read_as_encoders_write_it(save: Save, picture: NDArray[np.uint8]) -> None:
    data = save(picture, "JPEG")
    plain = b64encode(data).decode()
    for text in (
        plain,
        plain.rstrip("="),
        encodebytes(data).decode(),
        f"data:image/jpeg;base64,{plain}",
        f"DATA:image/webp;BASE64,{plain}",
        f"data:;base64,{plain}",
    ):
        assert from_base64(text) == data
    assert from_base64("data:,") == b""
    for text in ("not base64!", "data:image/jpeg,abc", "äöü", plain[:5], f"{plain}=A", f"data:;base64,{plain}*"):
        with pytest.raises(InvalidInput) as caught:
            from_base64(text)
        assert caught.value.code == "invalid_base64"


@pytest.mark.parametrize("shape", [(240, 320, 3), (240, 320)])
def test_the_rate_is_written_into_a_corner(shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 128, np.uint8)
    write_rate(pixels, 12.34)
    assert {pixels.min(), pixels.max()} == {0, 255}
    assert (pixels[60:] == 128).all()
    assert (pixels[:, 200:] == 128).all()


def test_quality_decides_the_size(picture: NDArray[np.uint8]) -> None:
    small, large = encode(picture, 20), encode(picture, 95)
    assert len(small) < len(large) / 2
    assert small[:3] == large[:3] == b"\xff\xd8\xff"
