"""Which photos and clips the command line restores, and where each one goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hub.errors import InvalidInput, UnsupportedMedia
from hub.media.sniffing import HEAD_BYTES, RAW_SUFFIXES, identify

# What a folder is searched for, and what tells that OUTPUT is a file. A file named as an input may have any suffix.
PHOTO_SUFFIXES = RAW_SUFFIXES | frozenset(
    f".{name}"
    for name in (
        *("avif", "bmp", "dib", "gif", "heic", "heif", "hif", "jp2", "jpe", "jpeg", "jpg"),
        *("pgm", "png", "pnm", "ppm", "psd", "tga", "tif", "tiff", "webp"),
    )
)
# What hub.media.video.opening reads. ".ogg" is left out, since it is music nearly always: a file of that name is looked
# into when it is named itself, as one without a suffix is.
# fmt: off
CLIP_SUFFIXES = frozenset((
    ".264", ".265", ".266", ".3g2", ".3gp", ".3gp2", ".3gpp", ".amv", ".asf", ".avc", ".avi", ".cavs", ".dif",
    ".dirac", ".divx", ".drc", ".dv", ".dvr-ms", ".evc", ".f4v", ".flv", ".gxf", ".h261", ".h263", ".h264", ".h265",
    ".h266", ".h26l", ".hevc", ".ismv", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg",
    ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nsv", ".nut",
    ".nuv", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vc1", ".vob", ".vro", ".vvc",
    ".webm", ".wmv", ".wtv", ".y4m",
))
# fmt: on
# Photos that may be clips as well: the name of the result tells what is meant.
MOVING_SUFFIXES = frozenset({".gif"})


@dataclass(frozen=True)
class Item:
    """One photo or clip to restore.

    target: where it goes. exact: the user named this file, so it is this one or none; else the target's suffix
    follows the format that is written.
    """

    source: Path
    target: Path
    exact: bool

    @cached_property
    def is_clip(self) -> bool:
        """Whether it is a clip: by its name, else by the name that the result is to have, else by its content."""
        suffix = self.source.suffix.lower()
        if suffix in CLIP_SUFFIXES:
            return True
        if suffix in PHOTO_SUFFIXES - MOVING_SUFFIXES:
            return False
        if self.exact:
            return self.target.suffix.lower() in CLIP_SUFFIXES
        return suffix not in MOVING_SUFFIXES and self.source.is_file() and not _holds_a_photo(self.source)


@dataclass(frozen=True)
class Plan:
    """What a command line asks for: photos and clips, and a sentence for each input that is neither."""

    items: tuple[Item, ...]
    problems: tuple[str, ...]


def make_plan(inputs: Sequence[Path], output: str) -> Plan:
    """Find the photos and clips and name their targets.

    inputs: files and folders; folders are searched to the bottom, hidden files and `output` itself left out.
    output: a file if there is one input file and it ends like a photo or a clip; else a folder.
    Raises InvalidInput if `output` can be neither.
    """
    folder = Path(output)
    if len(inputs) == 1 and inputs[0].is_file() and _names_a_file(output):
        return Plan((Item(inputs[0], folder, exact=True),), ())
    if folder.exists() and not folder.is_dir():
        raise InvalidInput("output_not_a_folder", f"{output} is a file; several files need a folder to go to.")

    items: dict[Path, Item] = {}
    problems: list[str] = []
    for path in inputs:
        if path.is_dir():
            found = list(_files_below(path, leave_out=folder))
            if not found:
                problems.append(f"{path}: there are no photos or clips in this folder.")
            for source in found:
                items.setdefault(source.resolve(), Item(source, folder / source.relative_to(path), exact=False))
        elif path.exists():
            items.setdefault(path.resolve(), Item(path, folder / path.name, exact=False))
        else:
            problems.append(f"{path}: there is no such file or folder.")
    return Plan(tuple(items.values()), tuple(problems))


def _names_a_file(output: str) -> bool:
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        return False
    if path.suffix.lower() in PHOTO_SUFFIXES | CLIP_SUFFIXES:
        return True
    if path.suffix or path.exists():
        raise InvalidInput(
            "unknown_suffix",
            f"{output} does not end like a photo or a clip, such as .png, .jpg or .mp4; for a folder of this name, "
            "add a slash.",
        )
    return False


def _files_below(folder: Path, *, leave_out: Path) -> Iterator[Path]:
    """The photos and clips of a folder and its sub-folders in a steady order, judged by their suffixes."""
    left_out = leave_out.resolve()
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if name[0] != "." and (here / name).resolve() != left_out)
        for name in sorted(files):
            if name[0] != "." and Path(name).suffix.lower() in PHOTO_SUFFIXES | CLIP_SUFFIXES:
                yield here / name


def _holds_a_photo(path: Path) -> bool:
    """Whether a file begins like a photo; one that cannot be read counts as such, and its decoder says why."""
    try:
        with path.open("rb") as file:
            identify(file.read(HEAD_BYTES), path.suffix)
    except UnsupportedMedia:
        return False
    except OSError:
        return True
    return True
