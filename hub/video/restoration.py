"""One clip from file to file: what the job handler and the command line share."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.disk import make_folder
from hub.errors import Busy, Cancelled, HubError, InvalidInput
from hub.media.video.clip import ClipInfo
from hub.media.video.codecs import needed_bytes, plan_encoding
from hub.media.video.decoder import ClipDecoder
from hub.media.video.hardware import find_hardware
from hub.media.video.writing import Joined, join_clip
from hub.video.options import VideoOptions
from hub.video.pipeline import MARKS, ClipPipeline, Told, Track
from hub.video.segments import Ending, SegmentFolder
from hub.video.selection import chosen_frames, chosen_seconds, chosen_ticks

if TYPE_CHECKING:  # These import torch, which takes seconds: the server must listen before.
    from hub.engine import EngineSession
    from uformer.restore import RestoreReport

logger = logging.getLogger(__name__)

RESULT = "result"
BEFORE = "before"
AFTER = "after"
# Codecs in MP4 that browsers play; of others the page shows a copy.
PLAYABLE = frozenset({"h264", "av1", "vp9"})
SHOWN_QUALITY = 23
FEWEST_SEGMENT_FRAMES = 2 * MARKS
MOST_SEGMENT_FRAMES = 240
USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class ClipTerms:
    """What the machine and its owner allow; from the settings.

    memory_bytes: of a process that encodes. silence: seconds after which a silent one is given up.
    min_free_bytes: stays free on the disk. hardware: whether graphics hardware that works is to encode.
    """

    max_tile_pixels: int
    tile: int | None
    overlap: int
    segment_seconds: float
    memory_bytes: int
    silence: float
    min_free_bytes: int
    hardware: bool = False


@dataclass(frozen=True)
class Restored:
    """What `ClipRestoration.restore` did. resumed: how many segments an earlier run had finished."""

    ending: Ending
    report: RestoreReport
    resumed: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it."""
        return (*self.ending.notes, *self.report.notes)


class ClipRestoration:
    """A clip on its way through a folder of segments into its result.

    folder: takes the segments; work that an earlier ClipRestoration of the same clip, options and weights finished
    there is not done again. weights: JSON that changes when the network does.
    """

    def __init__(
        self,
        source: Path,
        folder: Path,
        options: VideoOptions,
        terms: ClipTerms,
        *,
        decoder: ClipDecoder,
        weights: Any,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Reads the clip's header: raises UnsupportedMedia, InvalidInput, TooLarge, Busy."""
        self._source = source
        self._options = options
        self._terms = terms
        self._decoder = decoder
        self._cancelled = cancelled
        self.info = decoder.probe(source)
        self._since, self._until = chosen_ticks(self.info, options)
        self.tracks = make_tracks(self.info, options, terms)
        self.plan = self.tracks[RESULT].plan
        rate = self.info.rate or USUAL_RATE
        self._segment_frames = min(
            max(FEWEST_SEGMENT_FRAMES, round(rate * Fraction(terms.segment_seconds))), MOST_SEGMENT_FRAMES
        )
        make_folder(folder)
        self._folder = folder
        suffixes = {name: f".{track.plan.segment_container}" for name, track in self.tracks.items()}
        self._segments = SegmentFolder(folder, suffixes)
        self._recipe: Mapping[str, Any] = {
            "info": self.info.to_json(),
            "tracks": {name: track.plan.to_json() for name, track in self.tracks.items()},
            "options": options.to_spec(),
            "terms": asdict(terms),
            "weights": weights,
        }

    @property
    def frames(self) -> int | None:
        """How many frames there are to restore, as far as the header tells."""
        return chosen_frames(self.info, self._options)

    def restore(self, session: EngineSession, tell: Callable[[float, Told], None]) -> Restored:
        """Restore all frames into segments; tell gets the fraction done (0..1) and the details, frame by frame.

        Raises InvalidInput (`no_frames`, `not_restorable`, what decoding raises), Busy (`disk_full`), Cancelled,
        HubError (`out_of_memory`); what is finished by then stays in the folder.
        """
        from uformer.backends import OutOfMemory
        from uformer.restore import RestoreCancelled, RestoreOptions
        from uformer.sequence import SequenceRestorer
        from uformer.temporal import TemporalSmoother

        terms, info = self._terms, self.info
        try:
            sequence = SequenceRestorer(
                session,
                info.height,
                info.width,
                RestoreOptions(tile=terms.tile, overlap=terms.overlap),
                max_tile_pixels=terms.max_tile_pixels,
            )
            finished = self._segments.open(self._recipe)
            ending = self._segments.ending(finished)
            if ending is None:
                self._check_space()
                session.prepare(sequence.plan.shapes)
                pipeline = ClipPipeline(
                    self._source,
                    info,
                    self._segments,
                    self.tracks,
                    decoder=self._decoder,
                    since=self._since,
                    until=self._until,
                    segment_frames=self._segment_frames,
                    strength=self._options.strength,
                    memory_bytes=terms.memory_bytes,
                    silence=terms.silence,
                    smoother=TemporalSmoother if self._options.smooths else None,
                    check=self._check_reserve,
                    cancelled=self._cancelled,
                )
                ending = pipeline.run(finished, sequence, lambda told: tell(self._fraction(told), told))
        except RestoreCancelled as error:
            raise Cancelled from error
        except ValueError as error:  # From the planner of tiles; the message says what would be right.
            raise InvalidInput("not_restorable", str(error)) from error
        except OutOfMemory as error:
            raise HubError(
                "out_of_memory",
                "The machine has too little free memory for a clip of this size with this model; "
                "try a smaller model, or resume when less is running.",
            ) from error
        return Restored(ending, sequence.report, len(finished))

    def join(
        self, track: str, restored: Restored, output: Path, progress: Callable[[float], None] | None = None
    ) -> Joined:
        """Join a track's segments at `output`; the result's with the clip's sound and all that goes along.

        Raises Cancelled, Busy (`disk_full`), and what the joining process raises.
        """
        files = self._segments.files(track, restored.ending.segments)
        needed = sum(info.bytes for _, info in files) + self._source.stat().st_size
        self._check_free(output.parent, needed)
        return join_clip(
            self._source,
            self.info,
            self.tracks[track].plan,
            files,
            output,
            start=self._options.start,
            end=self._options.end,
            carry=track == RESULT,
            memory_bytes=self._terms.memory_bytes,
            silence=self._terms.silence,
            cancelled=self._cancelled,
            progress=progress,
        )

    def discard(self) -> None:
        """Delete the segments; those that cannot be deleted stay, since the result is there."""
        try:
            shutil.rmtree(self._folder)
        except OSError:
            logger.warning("The segments in %s could not be deleted.", self._folder, exc_info=True)

    def _fraction(self, told: Told) -> float:
        """How much is done, by frames or else by time."""
        if total := self.frames:
            return min(1.0, told.done / total)
        if self.info.seconds:
            first = self.info.start if self._since is None else self._since * self.info.time_base
            return min(1.0, max(0.0, float(told.pts * self.info.time_base - first) / self.info.seconds))
        return 0.0

    def _check_space(self) -> None:
        """Raise Busy unless segments and result fit on the disk."""
        self._check_free(self._folder, needed_space(self.info, self._options, self.tracks))

    def _check_reserve(self) -> None:
        """Raise Busy when the disk is nearly full."""
        self._check_free(self._folder, 0)

    def _check_free(self, folder: Path, needed: int) -> None:
        check_free(folder, needed, self._terms.min_free_bytes)


def check_clip(path: Path, options: VideoOptions, terms: ClipTerms, decoder: ClipDecoder) -> ClipInfo:
    """Look at a clip's header and raise what would fail its restoration later.

    Raises UnsupportedMedia, InvalidInput, TooLarge, Busy (`disk_full`, `decoder_busy`).
    """
    info = decoder.probe(path)
    chosen_ticks(info, options)
    check_free(path.parent, needed_space(info, options, make_tracks(info, options, terms)), terms.min_free_bytes)
    return info


def make_tracks(info: ClipInfo, options: VideoOptions, terms: ClipTerms) -> dict[str, Track]:
    """What is to be encoded of a clip, the result first. Raises InvalidInput for what the codec cannot hold."""
    hardware = find_hardware(options.codec) if terms.hardware else None
    tracks = {RESULT: Track(plan_encoding(info, options.codec, options.quality, hardware=hardware))}
    if options.display:
        shown = plan_encoding(info, "h264", SHOWN_QUALITY)
        tracks[BEFORE] = Track(shown, original=True)
        if options.codec not in PLAYABLE:
            tracks[AFTER] = Track(shown)
    return tracks


def check_free(folder: Path, needed: int, reserve: int) -> None:
    """Raise Busy (`disk_full`) unless `needed` bytes fit there and `reserve` bytes are left."""
    free = shutil.disk_usage(folder).free
    if free < needed + reserve:
        raise Busy(
            "disk_full",
            f"The clip needs about {(needed + reserve) / 1e6:.0f} MB of free disk space and there are "
            f"{free / 1e6:.0f} MB. Free some, then send the clip again or resume its task.",
            retry_after=60,
        )


def needed_space(info: ClipInfo, options: VideoOptions, tracks: Mapping[str, Track]) -> int:
    """Bytes that restoring takes at the most: every track in segments and then joined."""
    frames = chosen_frames(info, options)
    if frames is None:
        frames = math.ceil((chosen_seconds(info, options) or 0.0) * (info.rate or USUAL_RATE))
    return sum(2 * needed_bytes(track.plan, frames) for track in tracks.values())
