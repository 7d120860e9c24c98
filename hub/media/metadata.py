"""EXIF and XMP made fit to travel with an upright picture. Runs in the worker, on strangers' bytes."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from PIL import Image

ORIENTATION = 0x0112
EXIF_IFD = 0x8769
GPS_IFD = 0x8825
_MAKER_NOTE = 0x927C
_PIXEL_SIZE = {0xA002: 0, 0xA003: 1}
# What a TIFF's first directory says about the photo rather than about how its pixels are stored.
# fmt: off
DESCRIPTIVE_TAGS = (
    0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
)
# fmt: on
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>))\s*[1-8]")


class ExifBlock:
    """A TIFF-structured EXIF block that is edited in place, so that maker notes keep their offsets.

    Raises ValueError when the block is not one.
    """

    def __init__(self, block: bytes) -> None:
        self._data = bytearray(block.removeprefix(b"Exif\0\0"))
        orders = {b"II*\0": "<", b"MM\0*": ">"}
        order = orders.get(bytes(self._data[:4]))
        if order is None:
            raise ValueError("not an EXIF block")
        self._order = order
        self._first = self._read("I", 4)
        self._orientation_at = next((at for tag, at in self._entries(self._first) if tag == ORIENTATION), None)

    def _read(self, kind: str, at: int) -> int:
        try:
            return int(struct.unpack_from(self._order + kind, self._data, at)[0])
        except struct.error as error:
            raise ValueError("the EXIF block is cut off") from error

    def _entries(self, directory: int) -> Iterator[tuple[int, int]]:
        """(tag, position of its entry) of the directory at this offset."""
        for index in range(self._read("H", directory)):
            at = directory + 2 + 12 * index
            yield self._read("H", at), at

    def _number(self, entry: int) -> int:
        """The value of an entry that holds one SHORT or LONG."""
        return self._read("H" if self._read("H", entry + 2) == 3 else "I", entry + 8)

    def _set_number(self, entry: int, value: int) -> None:
        kind = "H" if self._read("H", entry + 2) == 3 else "I"
        if kind == "I" or value < 65536:
            struct.pack_into(self._order + kind, self._data, entry + 8, value)

    @property
    def orientation(self) -> int:
        """1 to 8; 1 where the block does not say or says nonsense."""
        value = 1 if self._orientation_at is None else self._number(self._orientation_at)
        return value if 1 <= value <= 8 else 1

    def upright(self, width: int, height: int) -> bytes:
        """The block for an upright picture of this size: without orientation, and with no link to the old thumbnail."""
        for tag, entry in self._entries(self._first):
            if tag == EXIF_IFD:
                for inner, at in self._entries(self._number(entry)):
                    if inner in _PIXEL_SIZE:
                        self._set_number(at, (width, height)[_PIXEL_SIZE[inner]])
        count = self._read("H", self._first)
        end = self._first + 2 + 12 * count
        if end + 4 <= len(self._data):
            struct.pack_into(self._order + "I", self._data, end, 0)
        if self._orientation_at is not None:
            # Close the gap; nothing outside the directory moves, so all offsets stay right.
            rest = self._data[self._orientation_at + 12 : end + 4]
            self._data[self._orientation_at : end + 4] = rest + bytes(end + 4 - self._orientation_at - len(rest))
            struct.pack_into(self._order + "H", self._data, self._first, count - 1)
            self._orientation_at = None
        return bytes(self._data)


def exif_of_tiff(file: IO[bytes]) -> bytes | None:
    """The descriptive part of a TIFF-structured file's own tags as an EXIF block; None if there is none.

    Maker notes are left out: their offsets point into the old file.
    """
    found = Image.Exif()
    found.load_from_fp(file)
    kept = Image.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in found:
            kept[tag] = found[tag]
    for group in (EXIF_IFD, GPS_IFD):
        values = {tag: value for tag, value in found.get_ifd(group).items() if tag != _MAKER_NOTE}
        if values:
            kept.get_ifd(group).update(values)
    block: bytes = kept.tobytes().removeprefix(b"Exif\0\0")
    return block if len(block) > 14 else None


def upright_xmp(packet: object) -> bytes | None:
    """An XMP packet (text or bytes) as bytes, its orientation set to normal."""
    if isinstance(packet, str):
        packet = packet.encode()
    if not isinstance(packet, bytes) or not packet.strip(b"\0 \r\n"):
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def resolution(info: Mapping[Any, Any], sideways: bool) -> tuple[float, float] | None:
    """Dots per inch of the upright picture from Pillow's info, if they are believable."""
    try:
        across, down = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and 0 < value < 1e5 for value in (across, down)):
        return None
    return (down, across) if sideways else (across, down)
