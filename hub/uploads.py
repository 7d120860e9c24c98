"""Copies strangers' files to disk, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from hub.errors import InvalidInput, TooLarge

CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    """All that is needed of an upload's stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


def copy_upload(stream: Readable, file: BinaryIO, max_bytes: int, check: Callable[[], None]) -> None:
    """Copy what is left of `stream`; `check` is called after each piece, and what it raises ends the copy.

    Raises TooLarge, InvalidInput for an empty file.
    """
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        size += len(chunk)
        if size > max_bytes:
            message = f"The file is larger than the {max_bytes / 1e6:.0f} MB allowed here."
            raise TooLarge("upload_too_large", message, {"max_bytes": max_bytes})
        file.write(chunk)
        check()
    if size == 0:
        raise InvalidInput("empty_file", "The file is empty (zero bytes); please send a file with content.")
