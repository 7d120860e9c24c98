"""The command line's clips: restored one after another in segments that outlive an interruption."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from hub.cli.plan import CLIP_SUFFIXES, Item
from hub.cli.targets import Targets
from hub.disk import make_folder
from hub.engine import Engine, Priority
from hub.errors import Conflict, HubError, InvalidInput
from hub.parts import clip_terms, make_clip_decoder
from hub.video.options import DEFAULT_QUALITY, VideoOptions
from hub.video.pipeline import Told
from hub.video.restoration import ClipRestoration
from hub.video.segments import holds_segments
from hub.video.tracks import RESULT

if TYPE_CHECKING:
    from hub.media.video.decoder import ClipDecoder
    from hub.settings import Settings
    from uformer.backends import Backend

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames [{elapsed}<{remaining}, {rate_fmt}]"
JOINING_BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"


@dataclass(frozen=True)
class Network:
    """The model of a run. stamp: JSON that changes with its weights and with how they are run. open: loads it."""

    name: str
    task: str
    stamp: list[Any]
    open: Callable[[], Backend]


def restore_clips(
    items: Sequence[Item], args: argparse.Namespace, settings: Settings, engine: Engine, network: Network
) -> int:
    """Restore clips and print the path of each; returns how many failed.

    Raises InvalidInput for options that suit no clip, and KeyboardInterrupt; finished segments are kept then.
    """
    options = VideoOptions(
        task_type=network.task,
        model_name=network.name,
        strength=args.strength,
        codec=args.codec,
        quality=DEFAULT_QUALITY if args.quality is None else args.quality,
        temporal=args.temporal,
        start=args.start,
        end=args.end,
    )
    options.check()
    decoder = make_clip_decoder(settings)
    job = ClipJob(settings, engine, network, decoder, options, Targets(overwrite=args.overwrite), args.resume)
    failed = 0
    try:
        for item in items:
            try:
                written = job(item)
            except HubError as error:
                sys.stderr.write(f"error: {item.source}: {error.message}\n")
            except OSError as error:
                sys.stderr.write(f"error: {item.source}: {error}\n")
            else:
                sys.stdout.write(f"{written}\n")
                sys.stdout.flush()
                continue
            failed += 1
    finally:
        decoder.close()
    return failed


@dataclass(frozen=True)
class ClipJob:
    """Restores one clip after another with the same model and options. resume: go on where a run was interrupted."""

    settings: Settings
    engine: Engine
    network: Network
    decoder: ClipDecoder
    options: VideoOptions
    targets: Targets
    resume: bool

    def __call__(self, item: Item) -> Path:
        """Restore, join, write; returns the file. Raises HubError or OSError; finished segments stay."""
        folder = item.target.with_name(f".{item.target.name}.segments")
        make_folder(folder.parent)
        with _held(folder):
            if holds_segments(folder) and not self.resume:
                raise Conflict(
                    "unfinished",
                    f"An interrupted run left finished segments in {folder}: --resume goes on with them; "
                    "delete that folder to begin anew.",
                )
            _remove_empty(folder)
            try:
                return self._restore(item, folder)
            except BaseException:
                _remove_empty(folder)
                raise

    def _restore(self, item: Item, folder: Path) -> Path:
        """The same, with a folder of segments that nobody else uses."""
        clip = ClipRestoration(
            item.source,
            folder,
            self.options,
            clip_terms(self.settings),
            decoder=self.decoder,
            weights=self.network.stamp,
        )
        if clip.changed:
            raise Conflict(
                "different_run",
                f"The finished segments in {folder} are of a run that differs in {_listed(clip.changed)}: give the "
                "same options again to go on with them, or delete that folder to begin anew.",
                {"changed": list(clip.changed)},
            )
        target = self._target(item, clip.plan.suffix)
        self.targets.claim(target, item.source)
        try:
            with self.engine.session(self.network.name, Priority.VIDEO) as session, _FrameBar(clip.frames) as bar:
                restored = clip.restore(session, bar.tell)
            with self.targets.writing(target) as partial, _joining_bar() as tell:
                joined = clip.join(RESULT, restored, partial, tell)
        except BaseException:
            if holds_segments(folder):
                sys.stderr.write(
                    f"Finished segments of {item.source} are kept in {folder}; the same command with --resume goes on "
                    "with them.\n"
                )
            raise
        clip.discard()
        for note in dict.fromkeys((*clip.info.notes, *restored.notes, *clip.plan.notes, *joined.notes)):
            sys.stderr.write(f"{item.source}: {note}\n")
        return target

    def _target(self, item: Item, suffix: str) -> Path:
        """The file to write; a name that the user gave must fit what the codec is kept in."""
        if item.target.suffix.lower() == suffix:
            return item.target
        if item.exact:
            raise InvalidInput(
                "unknown_suffix",
                f"With the codec {self.options.codec} this clip becomes {suffix}, not {item.target.suffix}: name the "
                f"output {item.target.with_suffix(suffix).name}, or choose another codec.",
            )
        if item.target.suffix.lower() in CLIP_SUFFIXES:
            return item.target.with_suffix(suffix)
        return item.target.with_name(item.target.name + suffix)


class _FrameBar:
    """Frames done of one clip; silent where stderr is no terminal."""

    def __init__(self, frames: int | None) -> None:
        self._bar = tqdm(
            total=frames,
            desc="Restoring",
            bar_format=BAR,
            unit=" frames",
            disable=None,
            leave=False,
            dynamic_ncols=True,
        )
        self._begun = False

    def __enter__(self) -> _FrameBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def tell(self, _fraction: float, told: Told) -> None:
        """Show that frame number `told.done` is done."""
        if not self._begun:  # What an earlier run did is no measure of this one's speed.
            self._begun = True
            self._bar.initial = self._bar.n = told.done - 1
            self._bar.unpause()
        self._bar.update(told.done - self._bar.n)


@contextmanager
def _joining_bar() -> Iterator[Callable[[float], None]]:
    """A callback for the share (0..1) of the result that is written; silent where stderr is no terminal."""
    with tqdm(total=1.0, desc="Joining", bar_format=JOINING_BAR, disable=None, leave=False, dynamic_ncols=True) as bar:

        def tell(share: float) -> None:
            bar.update(share - bar.n)

        yield tell


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other runs off a folder of segments. Raises Conflict (`in_use`)."""
    path = folder.with_name(f"{folder.name}.lock")  # Beside it, since what is unknown inside is deleted.
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Conflict(
            "in_use", f"Another run is restoring this clip, into {folder}. Wait for it, or stop it."
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # While it is held: a lock on a file that has gone is never granted.
        lock.release()


def _remove_empty(folder: Path) -> None:
    """Delete a folder that holds no finished segment."""
    if folder.is_dir() and not holds_segments(folder):
        rmtree(folder)


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
