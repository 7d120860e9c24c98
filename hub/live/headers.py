"""What a frame is, and what a decoder needs of it, found before any decoder sees it."""

from __future__ import annotations

from typing import NamedTuple

from hub.errors import InvalidInput, UnsupportedMedia

# What a frame's file may be made of. PNG chunks and JPEG segments are walked through in Python, and a JPEG's every scan
# goes over the whole picture, so a small file could keep a worker busy for minutes; encoders stay far below these.
MOST_CHUNKS = 10_000
MOST_SEGMENTS = 500
MOST_SCANS = 64

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_SCAN = 0xDA
_EXIF = 0xE1
# Start of frame, of any coding; C4, C8 and CC are other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Frames, tables, restarts, and what tells the colours (JFIF, Adobe).
_JPEG_NEEDED = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE}
_PNG_NEEDED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))


class Frame(NamedTuple):
    """A frame's file without what its picture does not need.

    Pillow inflates a PNG's profiles and texts, however many there are, and copies a JPEG's EXIF once per tag, so these
    never reach it. A WebP file stays whole: libwebp walks through it once, and Pillow reads nothing of its metadata.

    kind: jpeg, png or webp. width, height: as stored. exif: the block that was left out, if there was one.
    """

    kind: str
    width: int
    height: int
    data: bytes
    exif: bytes | None = None


def damaged(what: str) -> InvalidInput:
    """The error for a frame that is no sound picture."""
    return InvalidInput("damaged_frame", f"The frame is damaged: {what}. Send a whole JPEG, PNG or WebP file.")


def read_frame(data: bytes) -> Frame:
    """The frame in a file.

    Raises InvalidInput (`empty_frame`, `damaged_frame`), UnsupportedMedia (`unsupported_format`).
    """
    if not data:
        raise InvalidInput("empty_frame", "The frame is empty. Send a JPEG, PNG or WebP file.")
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Frame("webp", *_webp_size(data), data)
    raise UnsupportedMedia("unsupported_format", "The frame is no picture that is taken here: send JPEG, PNG or WebP.")


def _jpeg(data: bytes) -> Frame:
    # Inside a scan FF DA cannot occur; thumbnails in the metadata have a scan or two of their own.
    if data.count(b"\xff\xda") > MOST_SCANS:
        raise damaged(f"it has more than {MOST_SCANS} scans")
    kept, at = bytearray(data[:2]), 2
    size: tuple[int, int] | None = None
    exif: bytes | None = None
    for _ in range(MOST_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # Padding.
            at += 1
            continue
        if marker == _SCAN:
            if size is None:
                break
            return Frame("jpeg", *size, bytes(kept) + data[at:], exif)
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAMES and size is None:
            size = int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        if marker in _JPEG_NEEDED:
            kept += data[at:end]
        elif marker == _EXIF and exif is None and data.startswith(b"Exif\0\0", at + 4):
            exif = data[at + 4 : end]
        at = end
    raise damaged("its header makes no sense")


def _png(data: bytes) -> Frame:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damaged("its header makes no sense")
    kept, at = bytearray(_PNG), len(_PNG)
    exif: bytes | None = None
    for _ in range(MOST_CHUNKS):
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if kind in _PNG_NEEDED:
            kept += data[at:end]
        elif kind == b"eXIf":
            exif = data[at + 8 : end - 4]
        at = end
        if at >= len(data) or kind == b"IEND":
            return Frame("png", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), bytes(kept), exif)
    raise damaged(f"it has more than {MOST_CHUNKS} chunks")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if len(data) < 30 or kind not in (b"VP8 ", b"VP8L", b"VP8X"):
        raise damaged("its header makes no sense")
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
