from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageCms

OpenClient = Callable[..., AbstractContextManager[TestClient]]


def send(client: TestClient, content: bytes, name: str = "photo.png") -> Image.Image:
    answer = client.post("/api/generate_preview", files={"image_file": (name, content)})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.format == "JPEG"
    return picture


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def left_behind(client: TestClient) -> list[Path]:
    folder = client.app.state.hub.settings.data_dir / "tmp"  # type: ignore[attr-defined]
    return [path for path in folder.rglob("*") if path.name.startswith("preview-")]


@pytest.mark.parametrize(
    ("size", "shown"), [((1600, 1000), (800, 500)), ((300, 1200), (200, 800)), ((40, 30), (40, 30)), ((1, 1), (1, 1))]
)
def test_at_most_800_pixels_on_a_side(client: TestClient, size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert send(client, written(Image.new("RGB", size, "teal"), "png")).size == shown
    assert not left_behind(client)


def test_upright(client: TestClient) -> None:
    sideways = Image.new("RGB", (90, 60), "black")
    sideways.paste("white", (0, 0, 45, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by a quarter, clockwise.

    shown = send(client, written(sideways, "jpeg", quality=95, exif=exif.tobytes()), "a.jpg")

    assert shown.size == (60, 90)
    assert shown.convert("L").getpixel((30, 10)) > 240
    assert shown.convert("L").getpixel((30, 80)) < 15
    assert 0x0112 not in shown.getexif()


def test_what_is_transparent_is_white(client: TestClient) -> None:
    picture = Image.new("RGBA", (60, 60), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (30, 0, 60, 60))

    shown = np.asarray(send(client, written(picture, "png")).convert("RGB")).astype(int)

    assert shown[30, 10].min() > 245
    assert np.abs(shown[30, 50] - (0, 0, 255)).max() < 12


def test_looks_as_in_srgb(client: TestClient) -> None:
    """The same numbers in a profile whose red and green are swapped are another colour."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    entries = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    picture = Image.new("RGB", (60, 60), (250, 20, 20))

    shown = send(client, written(picture, "png", icc_profile=bytes(profile)))

    red_now, green_now, _ = shown.convert("RGB").getpixel((30, 30))  # type: ignore[misc]
    assert green_now > 200 > 60 > red_now
    assert "icc_profile" not in shown.info


@pytest.mark.parametrize("kind", ["heic", "tiff16", "grey16", "cmyk"])
def test_files_that_browsers_cannot_show(client: TestClient, kind: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 96, dtype=np.uint8), (64, 1))
    colours = Image.fromarray(np.stack([ramp] * 3, axis=-1))
    if kind == "heic":
        file = io.BytesIO()
        pillow_heif.from_pillow(colours).save(file, quality=95)
        content = file.getvalue()
    elif kind == "cmyk":
        content = written(colours.convert("CMYK"), "tiff")
    elif kind == "grey16":
        content = written(Image.fromarray(ramp.astype(np.uint16) * 257), "png")
    else:
        content = written(Image.fromarray(ramp.astype(np.uint16) * 257), "tiff")

    shown = np.asarray(send(client, content, f"photo.{kind}").convert("L")).astype(int)

    assert shown.shape == (64, 96)
    assert np.abs(shown - ramp).mean() < 10


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"%PDF-1.7 this is no photo", 415, "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not_an_image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), 422, "damaged_image"),
    ],
)
def test_what_is_no_photo(client: TestClient, content: bytes, status: int, code: str) -> None:
    answer = client.post("/api/generate_preview", files={"image_file": ("a.png", content)})

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert not left_behind(client)


def test_a_large_photo_of_noise(client: TestClient) -> None:
    """Larger than what is kept in memory of an upload."""
    noise = Image.frombytes("RGB", (1200, 900), os.urandom(1200 * 900 * 3))

    assert send(client, written(noise, "png", compress_level=0)).size == (800, 600)
    assert not left_behind(client)


def test_limits_hold_for_previews_too(open_client: OpenClient) -> None:
    with open_client(max_upload_mb=1) as client:
        answer = client.post("/api/generate_preview", files={"image_file": ("a.png", bytes(3_000_000))})
        assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
