"""Metadata of PNG files that Pillow's header does not show: behind the pixels, or as ImageMagick's raw profiles."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path

_RAW_PROFILE = b"Raw profile type "
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_MAX_BYTES = 16 << 20
_MAX_CHUNKS = 1 << 20
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_HEX_PER_LINE = 72


def png_profiles(path: Path) -> dict[str, bytes]:
    """The blocks `exif`, `xmp` and `iptc` of a PNG, from their own chunks or else from raw profiles.

    Blocks that cannot be read, or are larger than 16 MB, are left out.
    """
    proper: dict[str, bytes] = {}
    raw: dict[str, bytes] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for kind, body in _chunks(data):
            if kind == b"eXIf":
                proper.setdefault("exif", body)
                continue
            keyword, text = _text(kind, body)
            if keyword == _XMP_KEYWORD:
                proper.setdefault("xmp", text)
            elif keyword.startswith(_RAW_PROFILE) and (profile := _from_hex(text)):
                name = keyword.removeprefix(_RAW_PROFILE).decode("latin-1").lower()
                if name == "app1":
                    name = "xmp" if profile.startswith(_XMP_HEAD) else "exif"
                raw.setdefault("iptc" if name == "8bim" else name, profile.removeprefix(_XMP_HEAD))
    return {name: raw[name] for name in ("exif", "xmp", "iptc") if name in raw} | proper


def png_texts(path: Path) -> tuple[tuple[str, str], ...]:
    """Keyword and text of all other texts of a PNG."""
    texts = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for kind, body in _chunks(data):
            if kind in _TEXTS:
                keyword, text = _text(kind, body)
                if keyword != _XMP_KEYWORD and not keyword.startswith(_RAW_PROFILE):
                    coding = "utf-8" if kind == b"iTXt" else "latin-1"
                    texts.append((keyword.decode("latin-1"), text.decode(coding, "replace")))
    return tuple(texts)


def raw_profile(name: str, block: bytes) -> tuple[str, str]:
    """Keyword and text of the chunk that ImageMagick and its readers know a block by."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + _HEX_PER_LINE] for at in range(0, len(digits), _HEX_PER_LINE))
    return (_RAW_PROFILE.decode() + name, f"\n{name}\n{len(block):8d}\n{lines}\n")


def _chunks(data: mmap.mmap) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of the EXIF and text chunks; their checksums are not looked at."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        head = data[at : at + 8]
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IEND":
            return
        if (kind == b"eXIf" or kind in _TEXTS) and size <= _MAX_BYTES:
            yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def _text(kind: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Keyword and unpacked text of a text chunk; a text that cannot be unpacked is empty."""
    keyword, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        # Behind the two marks of compression stand a language and a translated keyword.
        rest = b"".join(rest[2:].split(b"\0", 2)[2:])
    if not packed:
        return keyword, rest
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(rest, _MAX_BYTES)
    except zlib.error:
        return keyword, b""
    return keyword, text if unpacker.eof else b""


def _from_hex(text: bytes) -> bytes:
    """The block of a raw profile: its name and its length stand before the digits. Empty where it makes no sense."""
    parts = text.split(b"\n", 3)
    try:
        return bytes.fromhex(parts[3].decode("ascii")) if len(parts) == 4 else b""
    except ValueError:
        return b""
