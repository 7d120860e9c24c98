"""A clip's frames through the network, segment by segment: decoding, restoring and encoding at the same time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hub.errors import InvalidInput
from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.counts import Counts
from hub.media.video.decoder import ClipDecoder, Reading
from hub.media.video.writing import ClipWriter
from hub.video.recipe import MARKS
from hub.video.segments import Ending, Mark, Segment, SegmentFolder
from hub.video.tracks import Track
from uformer.restore import blend
from uformer.sequence import SequenceRestorer

if TYPE_CHECKING:
    from uformer.temporal import TemporalSmoother

logger = logging.getLogger(__name__)

# Frames per second are measured over this many.
SPEED_FRAMES = 16


@dataclass(frozen=True)
class Told:
    """How far a run is. pixels: of the frame finished last."""

    done: int
    pts: int
    speed: float | None
    pixels: NDArray[Any]


class ClipPipeline:
    """Restores the frames of one clip with since <= time < until (ticks; None is open) into segments.

    segment_frames: how many frames a segment has, at least MARKS.
    smoother: makes a fresh TemporalSmoother; None smooths nothing. Every segment starts with one that has seen the
    MARKS frames before, wherever the work was interrupted, so that the result does not depend on that.
    check: called at the start of every segment; raises what is to stop the work.
    """

    def __init__(
        self,
        source: Path,
        info: ClipInfo,
        folder: SegmentFolder,
        tracks: Mapping[str, Track],
        *,
        decoder: ClipDecoder,
        since: int | None,
        until: int | None,
        segment_frames: int,
        strength: float,
        memory_bytes: int,
        silence: float,
        smoother: Callable[[], TemporalSmoother] | None = None,
        check: Callable[[], None] = lambda: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._info = info
        self._folder = folder
        self._tracks = tracks
        self._decoder = decoder
        self._since = since
        self._until = until
        self._segment_frames = segment_frames
        self._strength = strength
        self._memory_bytes = memory_bytes
        self._silence = silence
        self._smoother = smoother
        self._check = check
        self._cancelled = cancelled

    def run(
        self, finished: Sequence[Segment], sequence: SequenceRestorer, tell: Callable[[Told], None]
    ) -> tuple[int, Ending]:
        """Restore what the finished segments lack; returns how many of them it went on from.

        Raises InvalidInput (`no_frames`) if there is no frame at all, and what decoding, restoring, encoding raise.
        """
        while True:
            marks = [mark for segment in finished for mark in segment.marks][-MARKS:]
            since = marks[0].pts if marks else self._since
            # A resumed run jumps to where it must go on. Should that not lead to the very same frames, it decodes
            # from the start; and should even that differ, nothing that was finished fits the file.
            for seek in (True, False):
                with self._decoder.read(
                    self._source, self._info, since=since, until=self._until, seek=seek, cancelled=self._cancelled
                ) as reading:
                    known = [frame for _, frame in zip(marks, reading, strict=False)]
                    if [Mark.of(frame) for frame in known] == marks:
                        return len(finished), self._restore(finished, known, reading, sequence, tell)
            logger.warning("%s: begun anew; it decodes otherwise than before.", self._source.name)
            self._folder.discard()
            finished = []

    def _restore(
        self,
        finished: Sequence[Segment],
        known: Sequence[Frame],
        reading: Reading,
        sequence: SequenceRestorer,
        tell: Callable[[Told], None],
    ) -> Ending:
        """Restore what comes after the finished segments. known: the last frames of those, already read."""
        first = len(finished) * self._segment_frames
        met = finished[-1].counts if finished else Counts()
        base = reading.counts
        smoother = self._smoother and self._smoother()
        following: TemporalSmoother | None = None
        marks: deque[Mark] = deque(maxlen=MARKS)
        counted = met
        times: deque[float] = deque([time.monotonic()], maxlen=SPEED_FRAMES + 1)
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    ClipWriter(
                        track.plan, memory_bytes=self._memory_bytes, silence=self._silence, cancelled=self._cancelled
                    )
                )
                for name, track in self._tracks.items()
            }
            warm = known if smoother is not None else []
            index = first - len(warm)
            stream = stack.enter_context(closing(self._restored(warm, reading, sequence)))
            for frame, counts, restored in stream:
                place = index % self._segment_frames
                if index >= first and place == 0:
                    self._check()
                    if index > first:
                        self._end_segment(writers, index // self._segment_frames - 1, marks, counted)
                        smoother, following = following, None
                    self._begin_segment(writers, index // self._segment_frames)
                final = restored if smoother is None else smoother.push(frame.pixels, restored)
                if index >= first:
                    if self._smoother is not None and place >= self._segment_frames - MARKS:
                        following = following or self._smoother()
                        following.push(frame.pixels, restored)
                    marks.append(Mark.of(frame))
                    counted = met + (counts - base)
                    final = self._blended(frame.pixels, final)
                    for name, track in self._tracks.items():
                        writers[name].write(frame if track.original else replace(frame, pixels=final))
                    times.append(time.monotonic())
                    speed = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 2 else None
                    tell(Told(index + 1, frame.pts, speed, final))
                index += 1
            if index > first:
                self._end_segment(writers, (index - 1) // self._segment_frames, marks, counted)
            for writer in writers.values():
                writer.close()
        if index == 0:
            raise InvalidInput(
                "no_frames", "No frame of the clip could be decoded in the chosen range. Choose another start and end."
            )
        segments = -(-index // self._segment_frames)
        notes = (*(met + (reading.counts - base)).notes(), *reading.remarks)
        self._folder.end(segments, notes)
        return Ending(segments, notes)

    def _restored(
        self, known: Iterable[Frame], reading: Reading, sequence: SequenceRestorer
    ) -> Generator[tuple[Frame, Counts, NDArray[Any]]]:
        """Each frame, what decoding had met up to it, and its restored pixels; a few are in flight."""
        waiting: deque[tuple[Frame, Counts]] = deque()

        def pixels() -> Iterator[NDArray[Any]]:
            for frame in chain(known, reading):
                waiting.append((frame, reading.counts))
                yield frame.pixels

        for restored in sequence.restore(pixels(), cancelled=self._cancelled):
            yield *waiting.popleft(), restored

    def _blended(self, original: NDArray[Any], restored: NDArray[Any]) -> NDArray[Any]:
        return restored if self._strength == 1 else blend(original, restored, self._strength)

    def _begin_segment(self, writers: Mapping[str, ClipWriter], index: int) -> None:
        for name, writer in writers.items():
            writer.begin(self._folder.partial(name, index), partial(self._folder.finish, name, index))

    def _end_segment(
        self, writers: Mapping[str, ClipWriter], index: int, marks: Iterable[Mark], counts: Counts
    ) -> None:
        self._folder.mark(index, tuple(marks), counts)
        for writer in writers.values():
            writer.end()
