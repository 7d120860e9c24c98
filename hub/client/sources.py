"""The file to be sent: its name, its kind, and a handle that can be read more than once."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path, PurePath
from typing import BinaryIO

from hub.client.model import Kind, Source

# fmt: off
CLIP_SUFFIXES = frozenset((
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg",
    ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogm", ".ogv", ".qt", ".ts", ".vob",
    ".webm", ".wmv", ".y4m",
))
# fmt: on
# Brands of photos in the container that clips use too: HEIC, AVIF and Canon's raw files.
_PHOTO_BRANDS = (b"hei", b"hev", b"mif1", b"msf1", b"avi", b"crx")
_SPOOLED_BYTES = 8 << 20


class Upload:
    """A file on its way: once opened, `handle` can be read from its beginning again and again; a context manager."""

    def __init__(self, source: Source, filename: str | None = None) -> None:
        """filename: what to call it, where the source has no name or another one."""
        if not isinstance(source, (str, os.PathLike, bytes)) and not hasattr(source, "read"):
            raise TypeError(f"A path, bytes or a file open for reading bytes is needed, not {type(source).__name__}.")
        self._source = source
        self._own: BinaryIO | None = None
        self.path = Path(source) if isinstance(source, (str, os.PathLike)) else None
        self.filename = filename or self._given_name() or "file"

    def _given_name(self) -> str:
        # A file made from a descriptor has its number for a name.
        name = self._source if self.path else getattr(self._source, "name", None)
        return PurePath(name).name if isinstance(name, (str, os.PathLike)) else ""

    def __enter__(self) -> Upload:
        return self

    def open(self) -> None:
        """Open it, which may take as long as whatever is at the other end of a pipe. Raises OSError."""
        if self.path is not None:
            self._own = self.path.open("rb")
        elif isinstance(self._source, bytes):
            self._own = io.BytesIO(self._source)
        elif not self._source.seekable():  # type: ignore[union-attr]
            # What can be read once only could not be sent again after a broken connection.
            spooled = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - closed on leaving
            shutil.copyfileobj(self._source, spooled)  # type: ignore[arg-type]
            self._own = spooled  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()

    @property
    def handle(self) -> BinaryIO:
        """The open file."""
        return self._own if self._own is not None else self._source  # type: ignore[return-value]

    @property
    def kind(self) -> Kind:
        """By its name, and where that tells nothing, by its first bytes. A GIF counts as a photo."""
        suffix = PurePath(self.filename).suffix.lower()
        if suffix:
            return "video" if suffix in CLIP_SUFFIXES else "image"
        self.handle.seek(0)
        return "video" if _is_clip(self.handle.read(16)) else "image"


def _is_clip(head: bytes) -> bool:
    if head[4:8] == b"ftyp":
        return not head[8:12].startswith(_PHOTO_BRANDS)
    return head.startswith((b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"\0\0\1\xba", b"0&\xb2u")) or (
        head[:4] == b"RIFF" and head[8:12] == b"AVI "
    )
