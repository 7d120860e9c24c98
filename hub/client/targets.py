"""Where a download goes: into memory, or into a file that appears only when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from hub.client.model import Beside, Source


def locate(to: str | os.PathLike[str] | Beside | None, source: Source = b"") -> Path | None:
    """The folder or file that `to` means, so that a wrong one shows before the work and not after it.

    A path that ends with a slash is a folder, and made if need be. None stays None: memory.
    Raises TypeError for BESIDE what has no path, OSError for a folder that is not there or cannot be made.
    """
    if to is None:
        return None
    if isinstance(to, Beside):
        if not isinstance(source, (str, os.PathLike)):
            raise TypeError("BESIDE wants a file given by its path; name a folder or a file instead.")
        return Path(source).parent
    path = Path(to)
    if os.fspath(to).endswith(("/", os.sep)):
        path.mkdir(parents=True, exist_ok=True)
    if not path.is_dir() and not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(path.parent))
    return path


class Target(Protocol):
    """Takes the bytes of one download; `close` may follow at any point and removes what is not finished."""

    size: int

    def write(self, chunk: bytes) -> None: ...
    def restart(self) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


class Memory:
    """Keeps the bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._chunks: list[bytes] = []

    @property
    def content(self) -> bytes:
        """All of them."""
        return b"".join(self._chunks)

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._chunks.append(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forget what came so far."""
        self._chunks, self.size = [], 0

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is left to do."""


class Saved:
    """Writes to a hidden file beside the target, which `finish` renames.

    A target that names a file replaces what is there. In a folder nothing is replaced: the name gets a number.
    """

    def __init__(self, to: Path, filename: str) -> None:
        """to: a folder, or the file's own path. Raises OSError if the folder cannot be written."""
        self._own_name = not to.is_dir()
        self.path = to if self._own_name else to / filename
        self._part = self.path.parent / f".{secrets.token_hex(8)}.part"
        self._file = self._part.open("xb")
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forget what came so far."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    def finish(self) -> None:
        """Give the file its name, whole and flushed."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if not self._own_name:
            self.path = _reserve(self.path)
        self._part.replace(self.path)

    def close(self) -> None:
        """Remove what was not finished."""
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._part.unlink()


def _reserve(path: Path) -> Path:
    """A free name, taken by an empty file: `photo.jpg`, else `photo (2).jpg` and so on."""
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.stem} ({number}){path.suffix}")
        try:
            candidate.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return candidate


def result_name(result_path: str) -> str:
    """The file's own name within a result's: `enhanced_photo.jpg` of `/…/1678886400_a1b2c3d4_…_enhanced_photo.jpg`."""
    name = unquote(result_path.rpartition("/")[2])
    found = re.search(r"enhanced_.+", name)
    # A name from another machine must not lead out of the folder that it is saved in.
    cleaned = re.sub(r"[\\/:\0]", "_", found[0] if found else name)
    return cleaned if cleaned.strip(".") else "result"
