"""Writes and deletes so that a crash leaves a file whole or absent, and a power cut too."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub.errors import Busy

PARTIAL = ".partial-"
"""Begins the name of a file that is being written."""
PINNED = ".pinned-"
"""Begins a reader's own name for a file."""
TRASH = ".trash-"
"""Begins the name of a folder that is being deleted."""


def disk_full() -> Busy:
    """The error for a disk that is nearly full."""
    return Busy("disk_full", "The server's disk is nearly full; please try again later.", retry_after=60)


@contextmanager
def disk_full_is_busy() -> Iterator[None]:
    """Make Busy (`disk_full`) of a disk that fills up meanwhile."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full() from error
        raise


def write_whole(target: Path, write: Callable[[Path], object], check: Callable[[], None] | None = None) -> None:
    """Let `write` make a file under a hidden name with the same suffix, flush it and move it to `target`."""
    partial = target.with_name(f"{PARTIAL}{secrets.token_hex(8)}{target.suffix}")
    try:
        with disk_full_is_busy():
            write(partial)
            if not partial.is_file() or partial.stat().st_size == 0:
                raise RuntimeError(f"Nothing was written to {partial}.")
            sync_file(partial)
            if check is not None:
                check()
            partial.replace(target)
            sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def pinned(path: Path) -> Iterator[Path]:
    """A name of its own for the file that is at `path` now, whatever is put in its place while the block lasts.

    A second name costs nothing. Where the file system has none, the file goes by the name that it has.
    Raises FileNotFoundError.
    """
    name = path.with_name(f"{PINNED}{secrets.token_hex(8)}{path.suffix}")
    try:
        os.link(path, name)
    except FileNotFoundError:
        raise
    except OSError:
        name = path
    try:
        yield name
    finally:
        if name != path:
            name.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make `path` and its parents so that they survive a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder under a name that nobody uses, so that it is there whole or not at all."""
    trash = path.with_name(TRASH + secrets.token_hex(8))
    try:
        path.rename(trash)
    except FileNotFoundError:
        return
    shutil.rmtree(trash)


def empty_folder(path: Path) -> None:
    """Delete all that is in a folder, which nobody else uses."""
    for inner in path.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            shutil.rmtree(inner)
        else:
            inner.unlink()


def folder_bytes(path: Path) -> int:
    """Bytes of all files in a folder and its folders; those that go meanwhile do not count, nor does a missing one."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                size += (Path(folder) / name).lstat().st_size
    return size


def sync_file(path: Path) -> None:
    """Flush a file's content."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flush the names in a folder."""
    if os.name == "nt":  # Windows cannot open a folder; NTFS journals names itself.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
