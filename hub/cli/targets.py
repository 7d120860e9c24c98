"""Where a restored photo goes, in which format, and never half-written or over another file by accident."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.cli.plan import PHOTO_SUFFIXES, Item
from hub.errors import Conflict, InvalidInput

# The encoder's name for what a suffix promises.
FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
}
# Other names of one suffix.
ALIASES = {".jpeg": ".jpg", ".jpe": ".jpg", ".tif": ".tiff", ".heif": ".heic", ".hif": ".heic", ".dib": ".bmp"}


def choose_target(item: Item, own_format: str, own_suffix: str) -> tuple[Path, str]:
    """The file that a photo is written to, and the format to ask of the encoder.

    own_format: what the photo was read from. own_suffix: what `same` would write, such as `.jpg`.
    The name decides: the one that the user gave, or the input's. Another suffix is taken only where the input's own
    format cannot be written (camera raw), or its name tells none; a file named as output must be as it says.
    """
    suffix = item.target.suffix.lower()
    if ALIASES.get(suffix, suffix) == own_suffix:
        return item.target, "same"
    named = FORMATS.get(suffix)
    if named is not None and (item.exact or named != own_format):
        return item.target, named
    if item.exact:
        writable = ", ".join(sorted({*FORMATS, own_suffix}))
        raise InvalidInput(
            "unknown_suffix", f"This photo cannot be written as {suffix} ({item.target}); choose one of {writable}."
        )
    if suffix in PHOTO_SUFFIXES:
        return item.target.with_suffix(own_suffix), "same"
    return item.target.with_name(item.target.name + own_suffix), "same"


class Targets:
    """Guards the files to be written: none twice in a run, and none that exists unless told to overwrite."""

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._lock = threading.Lock()
        self._claimed: dict[Path, Path] = {}

    def claim(self, target: Path, source: Path) -> None:
        """Reserve `target` for the photo `source`; raises Conflict (`same_target`, `target_exists`)."""
        with self._lock:
            other = self._claimed.setdefault(target.resolve(), source)
        if other != source:
            raise Conflict("same_target", f"{target} is where {other} goes; restore this one to another folder.")
        self._check(target)

    @contextmanager
    def writing(self, target: Path) -> Iterator[Path]:
        """Give a path to write to, and put what was written there in the target's place, whole or not at all.

        Missing folders are made. Raises Conflict (`target_exists`) if a file that is to be kept has come meanwhile.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".partial-{secrets.token_hex(6)}{target.suffix}")
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            self._check(target)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def _check(self, target: Path) -> None:
        if target.exists() and not self._overwrite:
            raise Conflict("target_exists", f"{target} exists and was kept; --overwrite replaces it.")
