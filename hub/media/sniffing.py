"""Tells what a file is from its first bytes, never from what its sender calls it."""

from __future__ import annotations

from hub.errors import UnsupportedMedia

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC, JPEG 2000, PSD, ICO, TGA, PPM, or a camera's raw file"
HEAD_BYTES = 4096

# fmt: off
RAW_SUFFIXES = frozenset((
    ".3fr", ".ari", ".arw", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc",
    ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
    ".x3f",
))
# fmt: on

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"BM", "bmp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"\0\0\0\x0cjP  ", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"8BPS\0\1", "psd"),
    (0, b"\0\0\1\0", "ico"),
    (0, b"\0\0\2\0", "cur"),
    (0, b"\x01\xda", "sgi"),
    (0, b"qoif", "qoi"),
    (0, b"DDS ", "dds"),
    (0, b"IIU\0", "raw"),
    (0, b"IIRO", "raw"),
    (0, b"IIRS", "raw"),
    (0, b"MMOR", "raw"),
    (0, b"FUJIFILMCCD-RAW", "raw"),
    (0, b"\0MRM", "raw"),
    (0, b"FOVb", "raw"),
    (6, b"HEAPCCDR", "raw"),
)

_OTHER: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"PK\x03\x04", "a ZIP archive or office document"),
    (0, b"\x1f\x8b", "a compressed archive"),
    (0, b"\x1aE\xdf\xa3", "a video (use the video task)"),
    (8, b"AVI ", "a video (use the video task)"),
    (4, b"ftyp", "a video (use the video task)"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (36, b"acsp", "a colour profile"),
)

# Uncompressed TGA begins like a cursor file.
_TGA_TYPES = (b"\1", b"\2", b"\3", b"\x09", b"\x0a", b"\x0b")
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"))


def identify(head: bytes, suffix: str) -> str:
    """The format's name from the file's first HEAD_BYTES bytes.

    suffix: the client's file name ending, used only for TGA, which has no signature.
    Raises UnsupportedMedia, which says what the file is if that can be told.
    """
    if suffix.lower() == ".tga" and head[1:2] in (b"\0", b"\1") and head[2:3] in _TGA_TYPES:
        return "tga"
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = {head[i : i + 4] for i in range(8, min(len(head), int.from_bytes(head[:4], "big")), 4)}
        if b"crx " in brands:
            return "raw"
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIC_BRANDS:
            return "heic"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "ppm"
    if head[:1] == b"\n" and head[1:2] in b"\0\2\3\5" and head[2:3] == b"\1":
        return "pcx"
    raise UnsupportedMedia("not_an_image", f"The file is {describe(head)}, not a photo. Send {READABLE}.")


def describe(head: bytes) -> str:
    """What an unreadable file seems to be, with its article."""
    for offset, magic, description in _OTHER:
        if head.startswith(magic, offset):
            return description
    if b"<svg" in head:
        return "an SVG drawing"
    try:
        head[:1024].decode("utf-8")
    except UnicodeDecodeError:
        return "of an unknown type"
    return "text" if b"\0" not in head[:1024] else "of an unknown type"
