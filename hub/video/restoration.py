"""One clip from file to file: what the job handler and the command line share."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub.disk import make_folder
from hub.engine import EngineSession
from hub.errors import HubError
from hub.failures import restoring
from hub.media.video.clip import ClipInfo
from hub.media.video.decoder import ClipDecoder
from hub.media.video.writing import Joined, join_clip
from hub.video.options import VideoOptions
from hub.video.pipeline import ClipPipeline, Told
from hub.video.recipe import Recipe, differences
from hub.video.segments import Ending, Segment, SegmentFolder, read_recipe
from hub.video.selection import chosen_frames, chosen_ticks
from hub.video.terms import ClipTerms
from hub.video.tracks import RESULT, make_tracks, needed_space
from uformer.restore import RestoreOptions, RestoreReport
from uformer.sequence import SequenceRestorer

logger = logging.getLogger(__name__)


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

    folder: takes the segments. What an earlier ClipRestoration of the same clip, options and weights finished there is
    not done again, and what it decided stays decided: segment length, encoders, tiles.
    weights: JSON that changes when the network does.

    Public, once made: info; plan, of the result; tracks; changed: in words, what differs from an earlier work in the
    folder, which `restore` then deletes.
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
        advanced: Callable[[], None] = lambda: None,
    ) -> None:
        """Reads the clip's header: raises UnsupportedMedia, InvalidInput, TooLarge, Busy, Cancelled.

        advanced: called at the start of every segment after a first one was finished.
        """
        self._source = source
        self._options = options
        self._terms = terms
        self._decoder = decoder
        self._cancelled = cancelled
        self._advanced = advanced
        self.info = decoder.probe(source, queue=False, cancelled=cancelled)
        self._since, self._until = chosen_ticks(self.info, options)
        make_folder(folder)
        self._folder = folder
        self.changed: tuple[str, ...] = ()
        self._recipe = Recipe.make(self.info, options, terms, weights)
        if (stored := read_recipe(folder)) is not None:
            self.changed = differences(stored, self._recipe)
            if not self.changed and (kept := Recipe.from_json(stored)).encodes_here:
                self._recipe = kept
            elif not self.changed:
                self.changed = ("the hardware that encodes",)
        self.tracks = self._recipe.tracks
        self.plan = self.tracks[RESULT].plan
        suffixes = {name: f".{track.plan.segment_container}" for name, track in self.tracks.items()}
        self._segments = SegmentFolder(folder, suffixes)
        self._resumed = 0

    @property
    def frames(self) -> int | None:
        """How many frames there are to restore, as far as the header tells."""
        return chosen_frames(self.info, self._options)

    @property
    def finished(self) -> int:
        """How many finished segments the folder holds that need not be done again."""
        return 0 if self.changed else len(self._segments.finished())

    def restore(self, session: EngineSession, tell: Callable[[float, Told], None]) -> Restored:
        """Restore all frames into segments; tell gets the fraction done (0..1) and the details, frame by frame.

        Raises InvalidInput (`no_frames`, `not_restorable`, what decoding raises), Busy (`disk_full`), Cancelled,
        HubError (`out_of_memory`); what is finished by then stays in the folder.
        """
        from uformer.temporal import TemporalSmoother

        info, recipe = self.info, self._recipe
        with restoring("a clip of this size"):
            sequence = SequenceRestorer(
                session,
                info.height,
                info.width,
                RestoreOptions(tile=recipe.tile, overlap=recipe.overlap),
                max_tile_pixels=recipe.max_tile_pixels,
                shrinks=recipe.shrinks,
            )
            finished = self._open()
            resumed, ending = len(finished), self._segments.ending(finished)
            self._resumed = resumed
            if ending is None:
                self._check_space(finished)
                session.prepare(sequence.plan.shapes)
                pipeline = ClipPipeline(
                    self._source,
                    info,
                    self._segments,
                    self.tracks,
                    decoder=self._decoder,
                    since=self._since,
                    until=self._until,
                    segment_frames=recipe.segment_frames,
                    strength=self._options.strength,
                    memory_bytes=self._terms.memory_bytes,
                    silence=self._terms.silence,
                    smoother=TemporalSmoother if self._options.smooths else None,
                    check=lambda: self._check(sequence.shrinks),
                    cancelled=self._cancelled,
                )
                resumed, ending = pipeline.run(finished, sequence, lambda told: tell(self._fraction(told), told))
        return Restored(ending, sequence.report, resumed)

    def join(
        self, track: str, restored: Restored, output: Path, progress: Callable[[float], None] | None = None
    ) -> Joined:
        """Join a track's segments at `output`; the result's with the clip's sound and all that goes along.

        Raises Cancelled, Busy (`disk_full`), and what the joining process raises.
        """
        files = self._segments.files(track, restored.ending.segments)
        carry = track == RESULT
        needed = sum(info.bytes for _, info in files) + (self._source.stat().st_size if carry else 0)
        self._terms.check_free(output.parent, needed)
        try:
            return join_clip(
                self._source,
                self.info,
                self.tracks[track].plan,
                files,
                output,
                start=self._options.start,
                end=self._options.end,
                carry=carry,
                memory_bytes=self._terms.memory_bytes,
                silence=self._terms.silence,
                cancelled=self._cancelled,
                progress=progress,
            )
        except HubError as error:
            if error.code == "segments_differ":  # They never will fit: a resumed task begins anew.
                self._segments.discard()
            raise

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

    def _open(self) -> list[Segment]:
        """The finished segments that fit, all others deleted."""
        if self.changed:
            logger.warning("%s: begun anew; changed: %s.", self._source.name, ", ".join(self.changed))
            self._segments.discard()
        return self._segments.open(self._recipe.to_json())

    def _check_space(self, finished: Sequence[Segment]) -> None:
        """Raise Busy unless what is not there yet fits on the disk."""
        needed = needed_space(self.info, self._options, self.tracks, self._source.stat().st_size)
        there = sum(info.bytes for segment in finished for info in segment.tracks.values())
        self._terms.check_free(self._folder, max(0, needed - there))

    def _projected_space(self) -> int:
        """About how many bytes are still needed, going by the segments that this run has finished."""
        frames, segments = self.frames, self._segments
        if frames is None or not segments.recorded:
            return 0
        each = segments.recorded_bytes / segments.recorded
        in_all = -(-frames // self._recipe.segment_frames)
        left = max(0, in_all - self._resumed - segments.recorded)
        return round(each * (left + in_all)) + self._source.stat().st_size

    def _check(self, shrinks: int) -> None:
        """At the start of a segment: keep what has been learnt; raise Busy if the rest will not fit on the disk."""
        self._terms.check_free(self._folder, self._projected_space())
        if shrinks != self._recipe.shrinks:
            self._recipe = replace(self._recipe, shrinks=shrinks)
            self._segments.write_recipe(self._recipe.to_json())
        if self._segments.recorded:
            self._advanced()


def check_clip(path: Path, options: VideoOptions, terms: ClipTerms, decoder: ClipDecoder) -> ClipInfo:
    """Look at a clip's header and raise what would fail its restoration later.

    Raises UnsupportedMedia, InvalidInput, TooLarge, Busy (`disk_full`, `decoder_busy`).
    """
    info = decoder.probe(path)
    chosen_ticks(info, options)
    tracks = make_tracks(info, options, hardware=terms.hardware)
    terms.check_free(path.parent, needed_space(info, options, tracks, path.stat().st_size))
    return info
