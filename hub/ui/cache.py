"""The page's file cache: what browsers upload and what they are shown, bounded in bytes and age."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import threading
import time
from pathlib import Path

LARGE_BYTES = 64 << 20  # What is larger is most likely a clip.


class PageCache:
    """A folder of folders, one per file, which Gradio fills with uploads and serves to the browser.

    Jobs keep copies of their own, so anything here may go at any time; the least recently used goes first.
    Large files have a bound of their own, so that a few clips do not push out every picture that is on a screen.
    max_bytes: of all that is small. max_large_bytes: of all that is large; the same unless given.
    max_age: seconds since the last use.
    """

    def __init__(self, root: Path, *, max_bytes: int, max_age: float, max_large_bytes: int | None = None) -> None:
        self.root = root.resolve()
        self.max_bytes = max_bytes
        self.max_large_bytes = max_bytes if max_large_bytes is None else max_large_bytes
        self.max_age = max_age
        self._lock = threading.Lock()
        self.root.mkdir(parents=True, exist_ok=True)

    def resolve(self, name: object) -> Path | None:
        """The cached file of that absolute path, now used, or None when it is gone or was never inside the cache."""
        if not isinstance(name, str) or "\0" in name:
            return None
        path = Path(name).resolve()
        if not path.is_relative_to(self.root) or not path.is_file():
            return None
        try:
            os.utime(path)
        except FileNotFoundError:  # Swept away this very moment.
            return None
        return path

    def new_file(self, name: str) -> Path:
        """A fresh path in a folder whose name nobody can guess."""
        folder = self.root / secrets.token_hex(16)
        folder.mkdir()
        return folder / name

    def copy(self, source: Path, owner: str, name: str | None = None) -> Path:
        """Copy a file here and return the copy; the same content of the same owner keeps its path, and so its address.

        name: what the copy is called, if not as its source.
        owner: a word that only its owner knows, such as a job's id, since whoever knows the path may read the file.
        """
        state = source.stat()
        target_name = name or source.name
        folder = self.root / f"{owner}-{Path(target_name).stem}-{state.st_mtime_ns:x}"
        target = folder / target_name
        if target.exists():
            os.utime(target)
            return target
        folder.mkdir(exist_ok=True)
        staged = folder / f".{secrets.token_hex(8)}"
        try:
            shutil.copyfile(source, staged)
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)
        return target

    def sweep(self) -> int:
        """Delete what is too old, and the oldest of the rest until it fits; returns how many folders went."""
        with self._lock:
            deadline = time.time() - self.max_age
            deleted = 0
            totals = {False: 0, True: 0}
            for used, size, path in sorted(self._entries(), reverse=True):
                large = size > LARGE_BYTES
                totals[large] += size
                if used >= deadline and totals[large] <= (self.max_large_bytes if large else self.max_bytes):
                    continue
                deleted += 1
                # A browser may be fetching it, or Gradio's own clean-up may have been faster: the next sweep sees.
                with contextlib.suppress(OSError):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
            return deleted

    def size(self) -> int:
        """Bytes of all that is here now."""
        return sum(size for _, size, _ in self._entries())

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use in Unix seconds, bytes, path) of everything at the top of the cache."""
        found = []
        for path in self.root.iterdir():
            with contextlib.suppress(FileNotFoundError):
                states = [part.lstat() for part in (path, *path.rglob("*"))]
                size = sum(state.st_size for state in states if not stat.S_ISDIR(state.st_mode))
                found.append((max(state.st_mtime for state in states), size, path))
        return found
