"""The size of a frame from its header alone, before any decoder sees it."""

from __future__ import annotations

from hub.errors import InvalidInput, UnsupportedMedia

# What a frame's file may be made of. Pillow walks through chunks and segments in Python, and a JPEG's every scan goes
# over the whole picture, so a small file could keep a worker busy for minutes; encoders stay far below these.
MOST_CHUNKS = 10_000
MOST_SEGMENTS = 500
MOST_SCANS = 64

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_SCAN = 0xDA
# Start of frame, of any coding; C4, C8 and CC are other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def damaged(what: str) -> InvalidInput:
    """The error for a frame that is no sound picture."""
    return InvalidInput("damaged_frame", f"The frame is damaged: {what}. Send a whole JPEG, PNG or WebP file.")


def read_header(data: bytes) -> tuple[str, int, int]:
    """Format (jpeg, png or webp), width and height as stored.

    Raises InvalidInput (`empty_frame`, `damaged_frame`), UnsupportedMedia (`unsupported_format`).
    """
    if not data:
        raise InvalidInput("empty_frame", "The frame is empty. Send a JPEG, PNG or WebP file.")
    if data.startswith(_JPEG):
        return "jpeg", *_jpeg_size(data)
    if data.startswith(_PNG):
        return "png", *_png_size(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp", *_webp_size(data)
    raise UnsupportedMedia("unsupported_format", "The frame is no picture that is taken here: send JPEG, PNG or WebP.")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    # Inside a scan FF DA cannot occur; thumbnails in the metadata have a scan or two of their own.
    if data.count(b"\xff\xda") > MOST_SCANS:
        raise damaged(f"it has more than {MOST_SCANS} scans")
    at = 2
    size: tuple[int, int] | None = None
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
            return size
        if marker in _FRAMES and size is None:
            size = int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise damaged("its header makes no sense")


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damaged("its header makes no sense")
    at = len(_PNG)
    for _ in range(MOST_CHUNKS):
        if at >= len(data):
            return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
        at += 12 + int.from_bytes(data[at : at + 4])
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
