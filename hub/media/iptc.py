"""IPTC captions and credits: where files keep them. It is the same run of IIM records everywhere."""

from __future__ import annotations

import struct
from typing import IO

import numpy as np
import tifffile

IPTC_TAG, PHOTOSHOP_TAG = 33723, 34377
IPTC_RESOURCE = 0x0404
_RECORD_MARK = b"\x1c"
_SEGMENT_HEAD = b"Photoshop 3.0\0"


def checked(records: object) -> bytes | None:
    """The records; None where there are none. Raises ValueError for anything else."""
    if not records:
        return None
    if not isinstance(records, bytes) or not records.startswith(_RECORD_MARK):
        raise ValueError("not an IPTC block")
    return records


def of_resources(block: bytes) -> bytes | None:
    """The records among Photoshop's image resources (8BIM blocks). Raises ValueError where those are cut off."""
    at = 0
    while block.startswith(b"8BIM", at):
        if at + 12 > len(block):
            raise ValueError("the Photoshop block is cut off")
        kind, name = struct.unpack_from(">HB", block, at + 4)
        at += 6 + (name + 2) // 2 * 2
        size = int.from_bytes(block[at : at + 4], "big")
        if at + 4 + size > len(block):
            raise ValueError("the Photoshop block is cut off")
        if kind == IPTC_RESOURCE:
            return checked(block[at + 4 : at + 4 + size])
        at += 4 + (size + 1) // 2 * 2
    return None


def of_block(block: object) -> bytes | None:
    """The records of a block that holds them bare or among Photoshop's resources. Raises ValueError for nonsense."""
    return of_resources(block) if isinstance(block, bytes) and block.startswith(b"8BIM") else checked(block)


def to_resources(records: bytes) -> bytes:
    """The records as one of Photoshop's image resources."""
    padding = bytes(len(records) % 2)
    return b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(records)) + records + padding


def jpeg_segment(records: bytes) -> bytes:
    """The APP13 segment that carries the records."""
    body = _SEGMENT_HEAD + to_resources(records)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def of_tiff(file: IO[bytes]) -> bytes | None:
    """The records of a TIFF-structured file's own tag, else of its Photoshop tag. Raises ValueError for nonsense."""
    # Raw bytes, whatever type the tag announces: many writers call them 32-bit numbers.
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        found = {} if not isinstance(page, tifffile.TiffPage) else {tag.code: tag for tag in page.tags}
    for code in (IPTC_TAG, PHOTOSHOP_TAG):
        if code in found:
            file.seek(found[code].valueoffset)
            block = file.read(found[code].valuebytecount)
            if len(block) % 4 == 0 and block[:1] != _RECORD_MARK == block[3:4]:
                # Such numbers, written in the other byte order.
                block = np.frombuffer(block, ">u4").astype("<u4").tobytes()
            return of_block(block)
    return None
