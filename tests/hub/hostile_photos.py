"""Photos that mean harm, made in code: small files that claim, or unpack to, far more than they hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIDE = 48
MEGABYTE = 1 << 20


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = SIDE, height: int = SIDE, *chunks: bytes, rows: bytes | None = None) -> bytes:
    """An RGB PNG; `chunks` stand before its pixels, which are grey noise unless `rows` is their compressed form."""
    if rows is None:
        noise = np.random.default_rng(0).integers(0, 255, (height, 1 + width * 3), np.uint8)
        noise[:, 0] = 0
        rows = zlib.compress(noise.tobytes())
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(megabytes: int) -> bytes:
    """So many megabytes of zeros, compressed to a thousandth."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(MEGABYTE)) for _ in range(megabytes)]
    return b"".join(parts) + packer.flush()


def saved(form: str, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB", **options: object) -> bytes:
    """Noise in any format that Pillow writes."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, form, **options)
    return file.getvalue()


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """The bytes with others written over them."""
    return data[:at] + new + data[at + len(new) :]


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose frame header lies about its size."""
    data = saved("JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def jpeg_of_many_scans(scans: int) -> bytes:
    """A progressive JPEG of four megapixels, one of whose scans is repeated: each costs a pass over the picture."""
    file = io.BytesIO()
    Image.new("L", (2000, 2000), 128).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def jpeg_with(marker: int, body: bytes, times: int = 1) -> bytes:
    """A JPEG with a segment of the application's behind its first marker."""
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    data = saved("JPEG")
    return data[:2] + segment * times + data[2:]


def gif_of(width: int, height: int) -> bytes:
    """A GIF whose screen and only frame claim this size."""
    data = patched(saved("GIF"), 6, struct.pack("<HH", width, height))
    return patched(data, data.index(b"\x2c", 13 + 3 * 256) + 5, struct.pack("<HH", width, height))


def gif_of_frames(count: int) -> bytes:
    """A GIF of many frames of one pixel."""
    frame = b"!\xf9\x04\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return b"GIF89a\x30\0\x30\0\x80\0\0\0\0\0\xff\xff\xff" + frame * count + b";"


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory at 8; an entry is (tag, type, count, value or offset)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + struct.pack("<I", following) + tail


def tiff_of(width: int, height: int, following: int = 0, *more: tuple[int, int, int, int], bits: int = 8) -> bytes:
    """A grey, uncompressed TIFF that claims this size."""
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, width * height % 2**32),
        *more,
    ]
    return tiff(entries, following, bytes(SIDE * SIDE * 4))


def tiff_of_nested_directories(count: int) -> bytes:
    """A TIFF whose directories of EXIF lead from one to the next."""
    first = tiff_of(SIDE, SIDE, 0, (34665, 4, 1, 10_000))
    first += bytes(10_000 - len(first))
    inner = b"".join(struct.pack("<HHHIII", 1, 34665, 4, 1, 10_000 + 18 * (n + 1), 0) for n in range(count))
    return first + inner


def tiff_with_a_bomb() -> bytes:
    """A deflated TIFF whose strip unpacks to 100 MB."""
    strip = zeros(100)
    data = tiff_of(SIDE, SIDE)
    for tag, kind, value in ((259, 3, 8), (273, 4, len(data)), (279, 4, len(strip))):
        at = data.index(struct.pack("<HH", tag, kind), 10)
        data = patched(data, at + 8, struct.pack("<I", value))
    return data + strip


def exif(entries: list[tuple[int, int, int, int]]) -> bytes:
    """An EXIF segment's body."""
    return b"Exif\0\0" + tiff(entries)


def webp_of(width: int, height: int) -> bytes:
    """A lossless WebP that claims this size."""
    data = saved("WEBP", lossless=True)
    return patched(data, data.index(b"VP8L") + 9, struct.pack("<I", (width - 1) | (height - 1) << 14))


def boxed(data: bytes, width: int, height: int) -> bytes:
    """A HEIC or AVIF whose picture claims this size in its properties."""
    at = data.index(b"ispe") + 8
    return patched(data, at, struct.pack(">II", width, height))


def heic() -> bytes:
    """A small HEIC picture."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(file)
    return file.getvalue()


def jpeg2000_of(width: int, height: int) -> bytes:
    """A JPEG 2000 codestream that claims this size, in one tile."""
    data = saved("JPEG2000", no_jp2=True)
    at = data.index(b"\xff\x51") + 6
    return patched(patched(data, at, struct.pack(">II", width, height)), at + 16, struct.pack(">II", width, height))


def psd_of(width: int, height: int) -> bytes:
    """A PSD's header with nothing behind it."""
    return b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, height, width, 8, 3) + bytes(14)


def icon_around(picture: bytes) -> bytes:
    """An icon that says it is 16x16 and holds another picture."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 22)
    return b"\0\0\1\0\1\0" + entry + picture


def netpbm_of(width: int, height: int) -> bytes:
    """A portable pixel map that claims this size."""
    return f"P6 {width} {height} 255\n".encode() + bytes(100)


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><html><script>alert(document.domain)</script></html>"
HUGE = 60_000

TOO_MANY_PIXELS = (413, "too_many_pixels")
DAMAGED = (422, "damaged_image")
NO_PHOTO = (415, "not_an_image")
FAILED = (202, "failed")
COMPLETED = (202, "completed")

PHOTOS: dict[str, tuple[Callable[[], bytes], tuple[int, str]]] = {
    "claims.png": (lambda: png(HUGE, HUGE, rows=b""), TOO_MANY_PIXELS),
    "claims.jpg": (lambda: jpeg_of(HUGE, HUGE), TOO_MANY_PIXELS),
    "claims.gif": (lambda: gif_of(HUGE, HUGE), TOO_MANY_PIXELS),
    "claims.tif": (lambda: tiff_of(HUGE, HUGE), TOO_MANY_PIXELS),
    "claims16.tif": (lambda: tiff_of(HUGE, HUGE, bits=16), TOO_MANY_PIXELS),
    "claims.webp": (lambda: webp_of(16_384, 16_384), DAMAGED),
    "claims.heic": (lambda: boxed(heic(), HUGE, HUGE), TOO_MANY_PIXELS),
    "claims.avif": (lambda: boxed(saved("AVIF"), 20_000, 10_000), TOO_MANY_PIXELS),
    "claims.j2k": (lambda: jpeg2000_of(HUGE, HUGE), TOO_MANY_PIXELS),
    "claims.psd": (lambda: psd_of(30_000, 30_000), TOO_MANY_PIXELS),
    "claims.ppm": (lambda: netpbm_of(HUGE, HUGE), TOO_MANY_PIXELS),
    "claims.bmp": (lambda: patched(saved("BMP"), 18, struct.pack("<ii", HUGE, HUGE)), TOO_MANY_PIXELS),
    "claims.tga": (lambda: patched(saved("TGA"), 12, struct.pack("<HH", HUGE, HUGE)), TOO_MANY_PIXELS),
    "claims.pcx": (lambda: patched(saved("PCX"), 8, struct.pack("<HH", HUGE, HUGE)), TOO_MANY_PIXELS),
    "claims.sgi": (lambda: patched(saved("SGI"), 6, struct.pack(">HH", HUGE, HUGE)), TOO_MANY_PIXELS),
    "claims.dds": (lambda: patched(saved("DDS"), 12, struct.pack("<II", HUGE, HUGE)), TOO_MANY_PIXELS),
    "claims.qoi": (lambda: b"qoif" + struct.pack(">IIBB", HUGE, HUGE, 3, 0) + bytes(20), TOO_MANY_PIXELS),
    "nothing.png": (lambda: png(0, 0, rows=b""), DAMAGED),
    "unpacks.png": (lambda: png(rows=zeros(100)), COMPLETED),
    "profile.png": (lambda: png(SIDE, SIDE, chunk(b"iCCP", b"x\0\0" + zeros(100))), DAMAGED),
    "text.png": (lambda: png(SIDE, SIDE, chunk(b"zTXt", b"Comment\0\0" + zeros(100))), DAMAGED),
    "texts.png": (lambda: png(SIDE, SIDE, *[chunk(b"zTXt", b"Comment\0\0" + zeros(1))] * 1000), DAMAGED),
    "tiny texts.png": (lambda: png(SIDE, SIDE, *[chunk(b"tEXt", b"a\0b")] * 50_000), COMPLETED),
    "unpacks.tif": (tiff_with_a_bomb, COMPLETED),
    "loops.tif": (lambda: tiff_of(SIDE, SIDE, 8), COMPLETED),
    "loops16.tif": (lambda: tiff_of(SIDE, SIDE, 8, bits=16), COMPLETED),
    "nested.tif": (lambda: tiff_of_nested_directories(20_000), COMPLETED),
    "itself.tif": (lambda: tiff_of(SIDE, SIDE, 0, (330, 4, 1, 8), (34665, 4, 1, 8)), COMPLETED),
    "endless tag.tif": (lambda: tiff_of(SIDE, SIDE, 0, (270, 2, 0xFFFFFFFF, 100)), DAMAGED),
    "endless strips.tif": (lambda: patched(tiff_of(SIDE, SIDE), 10 + 5 * 12 + 4, b"\xff\xff\xff\x7f"), DAMAGED),
    "exif loop.jpg": (lambda: jpeg_with(0xE1, exif([(34665, 4, 1, 8), (34853, 4, 1, 8)])), COMPLETED),
    "exif count.jpg": (lambda: jpeg_with(0xE1, exif([(270, 2, 0xFFFFFFFF, 8), (0x927C, 7, 0x7FFFFFFF, 0)])), COMPLETED),
    "segments.jpg": (lambda: jpeg_with(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000), 400), COMPLETED),
    "scans.jpg": (lambda: jpeg_of_many_scans(20_000), FAILED),
    "frames.gif": (lambda: gif_of_frames(50_000), COMPLETED),
    "inside.ico": (lambda: icon_around(png(HUGE // 4, HUGE // 4, rows=zeros(100))), DAMAGED),
    "polyglot.jpg": (lambda: saved("JPEG") + b"PK\x05\x06" + bytes(18) + HTML, COMPLETED),
    "page.gif": (lambda: b"GIF89a/*" + HTML + b"*/=1;", DAMAGED),
    "drawing.png": (lambda: SVG, NO_PHOTO),
    "page.jpg": (lambda: HTML, NO_PHOTO),
    "archive.jpg": (lambda: b"PK\x03\x04" + bytes(100), NO_PHOTO),
    "script.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd)(r) file", NO_PHOTO),
    "magick.png": (lambda: b"push graphic-context\nfill 'url(https://127.0.0.1/)'\npop graphic-context", NO_PHOTO),
    **{
        f"cut.{suffix}": (lambda suffix=suffix, form=form: saved(form)[:60], outcome)  # type: ignore[misc]
        for suffix, form, outcome in (
            ("png", "PNG", FAILED),
            ("jpg", "JPEG", DAMAGED),
            ("gif", "GIF", DAMAGED),
            ("tif", "TIFF", DAMAGED),
            ("webp", "WEBP", DAMAGED),
            ("avif", "AVIF", DAMAGED),
            ("j2k", "JPEG2000", DAMAGED),
            ("bmp", "BMP", FAILED),
        )
    },
}
"""Name → how it is made, and what becomes of it: the answer's status, and its code or how the job ends."""
