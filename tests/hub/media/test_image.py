from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from hub.errors import HubError, InvalidInput, TooLarge, UnsupportedMedia
from hub.media.image import Photo, PhotoDecoder, PhotoInfo, encode, output_suffix, plan_output, write_display_png
from hub.media.pixels import stored_view

from .conftest import exif_block, png_bytes, png_chunk, write

ORIENTED = ["jpeg", "png", "webp", "tiff", "deep tiff", "deep png", "avif", "heic"]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" x:kept="yes"/></x:xmpmeta>'


def stored(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The picture as a camera held this way stores it."""
    return np.ascontiguousarray(stored_view(picture, orientation))


def save_oriented(kind: str, path: Path, picture: NDArray[np.uint8], orientation: int) -> None:
    pixels = stored(picture, orientation)
    exif = exif_block(orientation)
    if kind == "deep tiff":
        tag = [(0x0112, 3, 1, orientation, True)]
        tifffile.imwrite(path, pixels.astype(np.uint16) * 257, photometric="rgb", extratags=tag)
    elif kind == "deep png":
        photo = Photo(pixels.astype(np.uint16) * 257, PhotoInfo("png", *pixels.shape[1::-1], 16, "rgb", False))
        encode(replace(photo, exif=exif.removeprefix(b"Exif\0\0")), path)
    elif kind == "heic":
        pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=100, chroma=444, exif=exif)
    elif kind == "tiff":
        image = Image.fromarray(pixels)
        image.save(path, "TIFF", tiffinfo={0x0112: orientation})
    else:
        options = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}, "avif": {"quality": 100}}
        Image.fromarray(pixels).save(path, kind.upper(), exif=exif, **options.get(kind, {}))


@pytest.mark.parametrize("kind", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_exactly_once(
    kind: str, orientation: int, picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    save_oriented(kind, source, picture, orientation)
    photo = decoder.decode(source)
    assert (photo.info.width, photo.info.height) == (64, 48)
    assert close(photo.pixels, picture)
    assert decoder.probe(source).width == 64
    encode(photo, tmp_path / "again")
    again = decoder.decode(tmp_path / "again")
    assert again.info.format == photo.info.format
    assert close(again.pixels, picture)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + again.exif if again.exif else b"")
    assert exif.get(0x0112, 1) == 1
    assert close(decoder.preview(source).pixels, picture)


def close(pixels: NDArray[np.generic], picture: NDArray[np.uint8]) -> bool:
    """The same picture but for what lossy formats do to it."""
    scale = 257 if pixels.dtype == np.uint16 else 1
    return pixels.shape == picture.shape and bool(np.abs(pixels.astype(int) / scale - picture).mean() < 4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("form", ["png", "tiff"])
def test_lossless_round_trip_keeps_every_sample(
    channels: int, dtype: str, form: str, decoder: PhotoDecoder, tmp_path: Path
) -> None:
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(channels).integers(0, top, (37, 53, channels), dtype=dtype, endpoint=True)
    depth = pixels.itemsize * 8
    info = PhotoInfo(form, 53, 37, depth, "grey" if channels < 3 else "rgb", channels in (2, 4))
    path = tmp_path / "photo"
    assert encode(Photo(pixels, info), path) == f".{form}"
    again = decoder.decode(path)
    assert again.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.info == info


def test_decoded_pixels_can_be_written_to_and_outlive_the_decoder_s_files(
    picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.png")
    photo = decoder.decode(tmp_path / "a.png")
    photo.pixels[0, 0] = 7
    assert photo.pixels.flags.writeable
    assert decoder.decode(tmp_path / "a.png").pixels[0, 0, 0] == picture[0, 0, 0]


def test_float_tiff_stays_float_and_keeps_its_range(decoder: PhotoDecoder, tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(0, 900, (20, 30, 3)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    photo = decoder.decode(tmp_path / "a.tif")
    assert photo.pixels.dtype == np.float32
    assert photo.pixels.max() == 1
    encode(photo, tmp_path / "b.tif")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "b.tif"), values, rtol=1e-6)
    assert encode(photo, tmp_path / "c", format="png") == ".png"
    assert decoder.decode(tmp_path / "c").info.bit_depth == 16


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "avif"])
def test_metadata_survives(
    form: str, picture: NDArray[np.uint8], wide_profile: bytes, decoder: PhotoDecoder, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    Image.fromarray(picture).save(
        source, "JPEG", exif=exif_block(1), xmp=XMP, icc_profile=wide_profile, dpi=(300, 300), comment=b"a lake"
    )
    photo = decoder.decode(source)
    encode(photo, tmp_path / "out", format=form)
    again = decoder.decode(tmp_path / "out")
    assert again.icc == wide_profile
    assert again.xmp is not None
    assert b'x:kept="yes"' in again.xmp
    assert b'Orientation="6"' not in again.xmp
    assert again.exif is not None
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + again.exif)
    assert exif[0x010F] == "Camera Works"
    assert 0x0112 not in exif
    assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 250)
    assert exif.get_ifd(0x8825)[1] == "N"
    if form in ("jpeg", "png", "tiff"):
        assert again.dpi == pytest.approx((300, 300), abs=0.1)
    if form in ("jpeg", "png"):
        assert again.text == (("Comment", "a lake"),)


def test_deep_pictures_keep_metadata_in_every_format(
    deep_picture: NDArray[np.uint16], wide_profile: bytes, decoder: PhotoDecoder, tmp_path: Path
) -> None:
    info = PhotoInfo("png", 56, 40, 16, "rgb", False)
    exif = exif_block().removeprefix(b"Exif\0\0")
    photo = Photo(deep_picture, info, icc=wide_profile, exif=exif, xmp=XMP, dpi=(240, 240))
    for form in ("png", "tiff", "avif"):
        encode(photo, tmp_path / form, format=form, quality=100)
        again = decoder.decode(tmp_path / form)
        assert again.info.bit_depth == 16, form
        assert again.icc == wide_profile, form
        assert again.exif is not None, form
        assert again.xmp is not None, form
        # AVIF keeps 10 bits and is not lossless.
        assert np.abs(again.pixels.astype(int) - deep_picture).mean() < (700 if form == "avif" else 1e-9), form


def test_png_texts_survive(picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Lake")
    texts.add_itxt("Description", "Ein See: überall")
    Image.fromarray(picture).save(tmp_path / "a.png", pnginfo=texts)
    photo = decoder.decode(tmp_path / "a.png")
    encode(photo, tmp_path / "b.png")
    assert (
        decoder.decode(tmp_path / "b.png").text
        == photo.text
        == (
            ("Title", "Lake"),
            ("Description", "Ein See: überall"),
        )
    )


def test_palette_with_transparency_becomes_rgba(decoder: PhotoDecoder, tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    photo = decoder.decode(tmp_path / "a.png")
    assert photo.pixels.tolist() == [[[10, 20, 30, 0], [40, 50, 60, 128]]]
    assert photo.info.notes == ("Converted from a palette.",)


def test_one_bit_becomes_grey(decoder: PhotoDecoder, tmp_path: Path) -> None:
    for form in ("PNG", "TIFF", "BMP"):
        Image.fromarray(np.array([[True, False], [False, False]])).save(tmp_path / "a", form)
        assert decoder.decode(tmp_path / "a").pixels[..., :1].tolist() == [[[255], [0]], [[0], [0]]], form


def test_deep_png_with_a_transparent_colour(decoder: PhotoDecoder, tmp_path: Path) -> None:
    rows = b"\0" + np.array([1, 2, 3, 4, 5, 600], ">u2").tobytes()
    trns = png_chunk(b"tRNS", np.array([1, 2, 3], ">u2").tobytes())
    path = write(tmp_path / "a.png", png_bytes(2, 1, 16, 2, rows, trns))
    assert decoder.decode(path).pixels.tolist() == [[[1, 2, 3, 0], [4, 5, 600, 65535]]]


def test_png_gamma_becomes_a_profile(decoder: PhotoDecoder, tmp_path: Path) -> None:
    linear = png_chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    usual = png_chunk(b"gAMA", (45_455).to_bytes(4, "big"))
    rows = b"\0\x80\x80\x80"
    photo = decoder.decode(write(tmp_path / "a.png", png_bytes(1, 1, 8, 2, rows, linear)))
    assert photo.icc is not None
    assert photo.pixels.tolist() == [[[128, 128, 128]]]
    assert int(decoder.preview(tmp_path / "a.png").pixels[0, 0, 0]) == pytest.approx(188, abs=1)
    assert decoder.decode(write(tmp_path / "b.png", png_bytes(1, 1, 8, 2, rows, usual))).icc is None


def test_cmyk_becomes_srgb(picture: NDArray[np.uint8], srgb: bytes, decoder: PhotoDecoder, tmp_path: Path) -> None:
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0)
    photo = decoder.decode(tmp_path / "a.jpg")
    assert photo.icc == srgb
    assert "CMYK" in photo.info.notes[0]
    assert close(photo.pixels, picture)


def test_lab_becomes_srgb(decoder: PhotoDecoder, tmp_path: Path) -> None:
    lab = Image.merge("LAB", [Image.new("L", (8, 8), value) for value in (136, 208, 195)])
    lab.save(tmp_path / "a.tif")
    photo = decoder.decode(tmp_path / "a.tif")
    red, green, blue = photo.pixels[4, 4].tolist()
    assert red > 240
    assert green < 40
    assert blue < 40


def test_a_profile_of_another_kind_of_pixels_is_left_out(srgb: bytes, decoder: PhotoDecoder, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 90).save(tmp_path / "a.png", icc_profile=srgb)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png", icc_profile=srgb[:200])
    for name in ("a.png", "b.png"):
        photo = decoder.decode(tmp_path / name)
        assert photo.icc is None
        assert "colour profile" in photo.info.notes[0]


def test_premultiplied_and_inverted_tiff(decoder: PhotoDecoder, tmp_path: Path) -> None:
    premultiplied = np.array([[[32768, 0, 100, 32768], [0, 0, 0, 0]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert decoder.decode(tmp_path / "a.tif").pixels.tolist() == [[[65535, 0, 200, 32768], [0, 0, 0, 0]]]
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 65535, 1]], np.uint16), photometric="miniswhite")
    assert decoder.decode(tmp_path / "b.tif").pixels.ravel().tolist() == [65535, 0, 65534]


def test_planar_and_lzw_tiff(deep_picture: NDArray[np.uint16], decoder: PhotoDecoder, tmp_path: Path) -> None:
    planes = np.moveaxis(deep_picture, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", compression="lzw")
    np.testing.assert_array_equal(decoder.decode(tmp_path / "a.tif").pixels, deep_picture)


def test_first_frame_of_an_animation(decoder: PhotoDecoder, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photo = decoder.decode(tmp_path / "a.gif")
    assert photo.pixels[3, 3].tolist()[:3] == [255, 0, 0]
    assert photo.info.notes[0] == "First of 3 frames."
    assert output_suffix(photo) == ".png"
    assert "GIF" in plan_output(photo).notes[0]


def test_ten_bit_heic_and_avif(deep_picture: NDArray[np.uint16], decoder: PhotoDecoder, tmp_path: Path) -> None:
    smooth = np.sort(deep_picture.ravel()).reshape(deep_picture.shape)
    for form in ("heic", "avif"):
        photo = Photo(smooth, PhotoInfo(form, 56, 40, 16, "rgb", False))
        assert encode(photo, tmp_path / form, quality=100) == f".{form}"
        again = decoder.decode(tmp_path / form)
        assert again.info.bit_depth == 16
        assert "10 bits per sample." in again.info.notes
        assert int(again.pixels.max()) > 65300
        assert np.abs(again.pixels.astype(int) - smooth).mean() < 250


def test_a_heic_larger_than_one_tile(picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    large = np.asarray(Image.fromarray(picture).resize((1500, 1100), Image.Resampling.BICUBIC))
    encode(Photo(large, PhotoInfo("heic", 1500, 1100, 8, "rgb", False)), tmp_path / "a.heic")
    again = decoder.decode(tmp_path / "a.heic")
    assert close(again.pixels, large)
    assert again.info.notes == ()


@pytest.mark.parametrize("form", ["jpeg2000", "psd", "tga", "ppm", "bmp"])
def test_other_formats(form: str, picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    if form == "psd":
        header = b"8BPS\0\1" + bytes(6) + (3).to_bytes(2, "big") + (48).to_bytes(4, "big") + (64).to_bytes(4, "big")
        planes = np.moveaxis(picture, -1, 0).tobytes()
        path = write(tmp_path / "a.psd", header + b"\0\x08\0\x03" + bytes(4 + 4 + 4 + 2) + planes)
    else:
        path = tmp_path / f"a.{form}"
        Image.fromarray(picture).save(path, {"jpeg2000": "JPEG2000"}.get(form, form.upper()))
    photo = decoder.decode(path)
    assert photo.info.format == form
    assert close(photo.pixels, picture)
    assert output_suffix(photo) == (".bmp" if form == "bmp" else ".png")


def test_jpeg_keeps_full_chroma_at_high_quality(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    photo = Photo(picture, PhotoInfo("jpeg", 64, 48, 8, "rgb", False))
    for quality, sampling in ((95, 1), (80, 2)):
        encode(photo, tmp_path / "a.jpg", quality=quality)
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.layer[0][1] == sampling


def test_alpha_goes_on_white_in_a_jpeg(decoder: PhotoDecoder, tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:, 3] = 255
    photo = Photo(pixels, PhotoInfo("png", 16, 16, 8, "rgb", True))
    assert "put on white" in plan_output(photo, "jpeg").notes[0]
    encode(photo, tmp_path / "a.jpg", format="jpeg", quality=100)
    again = decoder.decode(tmp_path / "a.jpg").pixels
    assert again[8, 2].tolist() == [255, 255, 255]
    assert again[8, 13].tolist() == [0, 0, 0]


def test_sixteen_bits_are_rounded_into_eight(decoder: PhotoDecoder, tmp_path: Path) -> None:
    values = np.array([0, 128, 129, 385, 386, 65406, 65407, 65535], np.uint16).reshape(1, 8, 1)
    photo = Photo(values, PhotoInfo("png", 8, 1, 16, "grey", False))
    encode(photo, tmp_path / "a.webp", format="webp")
    assert "Rounded from 16 to the 8 bits" in plan_output(photo, "webp").notes[0]
    write_display_png(photo, tmp_path / "a.png")
    assert decoder.decode(tmp_path / "a.png").pixels.ravel().tolist() == [0, 0, 1, 1, 2, 254, 255, 255]


def test_lossless_webp_stays_lossless(picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path) -> None:
    rgba = np.dstack([picture, picture[..., 0]])
    Image.fromarray(rgba).save(tmp_path / "a.webp", lossless=True, exact=True, exif=exif_block(1))
    photo = decoder.decode(tmp_path / "a.webp")
    encode(photo, tmp_path / "b.webp")
    np.testing.assert_array_equal(decoder.decode(tmp_path / "b.webp").pixels, rgba)
    Image.fromarray(rgba).save(tmp_path / "c.webp", quality=80)
    assert not decoder.probe(tmp_path / "c.webp").lossless


def test_grey_with_a_profile_becomes_srgb_where_there_is_no_grey(decoder: PhotoDecoder, tmp_path: Path) -> None:
    linear = png_chunk(b"gAMA", (100_000).to_bytes(4, "big"))
    rows = (b"\0" + b"\x80" * 16) * 16
    photo = decoder.decode(write(tmp_path / "a.png", png_bytes(16, 16, 8, 0, rows, linear)))
    encode(photo, tmp_path / "a.webp", format="webp", quality=100)
    again = decoder.decode(tmp_path / "a.webp")
    assert again.icc is None
    assert int(again.pixels[8, 8, 1]) == pytest.approx(188, abs=2)


def test_display_png_is_srgb(
    picture: NDArray[np.uint8], wide_profile: bytes, decoder: PhotoDecoder, tmp_path: Path
) -> None:
    photo = Photo(picture, PhotoInfo("png", 64, 48, 8, "rgb", False), icc=wide_profile)
    write_display_png(photo, tmp_path / "a.png")
    shown = decoder.decode(tmp_path / "a.png")
    assert shown.icc is None
    # A wide gamut's half-saturated red is more saturated in sRGB.
    assert shown.pixels[24, 50, 0] > picture[24, 50, 0]
    write_display_png(picture, tmp_path / "b.png")
    np.testing.assert_array_equal(decoder.decode(tmp_path / "b.png").pixels, picture)


def test_preview_is_small_rgb(decoder: PhotoDecoder, tmp_path: Path) -> None:
    Image.new("LA", (1000, 400), (0, 128)).save(tmp_path / "a.png")
    preview = decoder.preview(tmp_path / "a.png", max_side=100)
    assert preview.pixels.shape == (40, 100, 3)
    assert preview.pixels[20, 50].tolist() == [127, 127, 127]
    Image.new("RGB", (1600, 1200), "teal").save(tmp_path / "b.jpg", exif=exif_block(6))
    assert decoder.preview(tmp_path / "b.jpg", max_side=200).pixels.shape == (200, 150, 3)
    encode(preview, tmp_path / "c.jpg", format="jpeg", quality=85)
    assert decoder.probe(tmp_path / "c.jpg").format == "jpeg"


def test_a_cut_off_jpeg_is_taken_as_far_as_it_goes(decoder: PhotoDecoder, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "JPEG", quality=90)
    data = whole.getvalue()
    photo = decoder.decode(write(tmp_path / "a.jpg", data[: len(data) * 3 // 4]))
    assert "cut off" in photo.info.notes[0]
    with pytest.raises(InvalidInput, match=r"only 2.% of its picture") as caught:
        decoder.decode(write(tmp_path / "b.jpg", data[: len(data) // 4]))
    assert caught.value.code == "damaged_image"


def test_a_bomb_is_refused_from_its_header(decoder: PhotoDecoder, tmp_path: Path) -> None:
    bombs = {
        "a.png": png_bytes(60_000, 60_000, 8, 2, b""),
        "b.png": png_bytes(60_000, 60_000, 16, 2, b""),
        "c.bmp": b"BM" + bytes(12) + (40).to_bytes(4, "little") + (50_000).to_bytes(4, "little") * 2 + b"\1\0\x18\0"
        + bytes(24),
        "d.gif": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x01\0\0;",
    }  # fmt: skip
    for name, data in bombs.items():
        for read in (decoder.probe, decoder.decode, decoder.preview):
            with pytest.raises(TooLarge, match="at most 4 megapixels") as caught:
                read(write(tmp_path / name, data))
            assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", InvalidInput, "empty"),
        (b"hello, this is no photo", UnsupportedMedia, "text"),
        (b"%PDF-1.7", UnsupportedMedia, "PDF"),
        (b"<svg xmlns='x'/>", UnsupportedMedia, "SVG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", UnsupportedMedia, "video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), InvalidInput, "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(60), InvalidInput, "damaged"),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(60), InvalidInput, "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(60), InvalidInput, "damaged"),
        (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(60), InvalidInput, "damaged"),
        (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(60), InvalidInput, "damaged"),
        (b"FUJIFILMCCD-RAW " + bytes(200), HubError, "raw"),
    ],
)
def test_what_is_no_photo_is_told_in_one_line(
    data: bytes, kind: type[HubError], words: str, decoder: PhotoDecoder, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words) as caught:
        decoder.decode(write(tmp_path / "a.jpg", data))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_flipped_bytes_end_in_a_photo_or_a_clear_error(
    form: str, picture: NDArray[np.uint8], decoder: PhotoDecoder, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    Image.fromarray(picture).save(whole, form)
    random = np.random.default_rng(sum(form.encode()))
    ended = 0
    for _ in range(25):
        data = bytearray(whole.getvalue())
        for at in random.integers(0, len(data), 6):
            data[at] = random.integers(0, 256)
        try:
            photo = decoder.decode(write(tmp_path / "a", bytes(data)))
        except HubError as error:
            ended += bool(error.message)
        else:
            ended += photo.pixels.shape[2] == photo.info.channels
    assert ended == 25
