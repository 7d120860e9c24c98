"""The finished segments of one clip, in a folder that outlives the process."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hub.disk import PARTIAL, sync_file, sync_folder, write_whole
from hub.media.video.clip import Frame
from hub.media.video.counts import Counts
from hub.media.video.writing import SegmentInfo

RECIPE = "recipe.json"
ENDING = "ending.json"


@dataclass(frozen=True)
class Mark:
    """Tells a decoded frame from others: its time, and a checksum of its pixels."""

    pts: int
    checksum: int

    @classmethod
    def of(cls, frame: Frame) -> Mark:
        """The mark of a frame as it was decoded."""
        return cls(frame.pts, zlib.crc32(frame.pixels.data))


@dataclass(frozen=True)
class Segment:
    """A finished piece of work.

    tracks: what its file of each track holds. marks: of its last frames before restoration, oldest first.
    counts: what decoding met from the start of the work to the end of this segment.
    """

    index: int
    tracks: Mapping[str, SegmentInfo]
    marks: tuple[Mark, ...]
    counts: Counts


@dataclass(frozen=True)
class Ending:
    """All segments are there: how many, and what decoding the clip to its end had to say."""

    segments: int
    notes: tuple[str, ...]


class SegmentFolder:
    """Segments by index, each a file per track; a segment counts as finished once its record lies beside them.

    folder: is there.
    suffixes: of each track's files. recorded: how many segments were finished through this object, and recorded_bytes:
    their size. Records are written by the threads of the tracks' writers.
    """

    def __init__(self, folder: Path, suffixes: Mapping[str, str]) -> None:
        self._folder = folder
        self._suffixes = dict(suffixes)
        self._lock = threading.Lock()
        self._written: dict[int, dict[str, SegmentInfo]] = {}
        self._endings: dict[int, tuple[tuple[Mark, ...], Counts]] = {}
        self.recorded = 0
        self.recorded_bytes = 0

    def open(self, recipe: Mapping[str, Any]) -> list[Segment]:
        """The segments that are finished, from the first on without a gap; what does not belong to them is deleted.

        recipe: JSON, kept for `read_recipe`: how the segments are made.
        """
        finished = self.finished()
        self._tidy(finished)
        self.write_recipe(recipe)
        return finished

    def finished(self) -> list[Segment]:
        """The segments that are finished, from the first on without a gap."""
        finished: list[Segment] = []
        while (segment := self._read(len(finished))) is not None:
            finished.append(segment)
        return finished

    def write_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Keep how the segments are made."""
        text = json.dumps(recipe, sort_keys=True)
        path = self._folder / RECIPE
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))

    def discard(self) -> None:
        """Delete all segments."""
        self._tidy([])

    def path(self, track: str, index: int) -> Path:
        """Where a segment's finished file lies."""
        return self._folder / f"{track}-{index:06d}{self._suffixes[track]}"

    def partial(self, track: str, index: int) -> Path:
        """Where a segment's file is written."""
        return self._folder / f"{PARTIAL}{self.path(track, index).name}"

    def finish(self, track: str, index: int, info: SegmentInfo) -> None:
        """Note that a file is complete; with the last of its tracks the segment is put in place for good."""
        sync_file(self.partial(track, index))
        self.partial(track, index).replace(self.path(track, index))
        with self._lock:
            self._written.setdefault(index, {})[track] = info
        self._commit(index)

    def mark(self, index: int, marks: Sequence[Mark], counts: Counts) -> None:
        """Give a segment's marks and counts; it is not finished before."""
        with self._lock:
            self._endings[index] = (tuple(marks), counts)
        self._commit(index)

    def end(self, segments: int, notes: Sequence[str]) -> None:
        """Note that there are no more than these segments."""
        record = json.dumps(asdict(Ending(segments, tuple(notes))))
        write_whole(self._folder / ENDING, lambda partial: partial.write_text(record, encoding="utf-8"))

    def ending(self, finished: Sequence[Segment]) -> Ending | None:
        """How the work ended, if these segments are all that there are."""
        path = self._folder / ENDING
        if not path.is_file():
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        ending = Ending(int(record["segments"]), tuple(record["notes"]))
        return ending if ending.segments == len(finished) else None

    def files(self, track: str, segments: int) -> list[tuple[Path, SegmentInfo]]:
        """The files of one track in order, for the joiner."""
        found = [self._read(index) for index in range(segments)]
        return [(self.path(track, segment.index), segment.tracks[track]) for segment in found if segment is not None]

    def _record(self, index: int) -> Path:
        return self._folder / f"{index:06d}.json"

    def _commit(self, index: int) -> None:
        """Write the record once all tracks and the marks are there."""
        with self._lock:
            tracks = self._written.get(index, {})
            if tracks.keys() != self._suffixes.keys() or index not in self._endings:
                return
            del self._written[index]
            marks, counts = self._endings.pop(index)
        sync_folder(self._folder)
        record = json.dumps(
            {
                "tracks": {name: info.to_json() for name, info in tracks.items()},
                "marks": [[mark.pts, mark.checksum] for mark in marks],
                "counts": counts.to_json(),
            }
        )
        write_whole(self._record(index), lambda partial: partial.write_text(record, encoding="utf-8"))
        with self._lock:
            self.recorded += 1
            self.recorded_bytes += sum(info.bytes for info in tracks.values())

    def _read(self, index: int) -> Segment | None:
        path = self._record(index)
        if not path.is_file() or not all(self.path(track, index).is_file() for track in self._suffixes):
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        return Segment(
            index,
            {name: SegmentInfo.from_json(info) for name, info in record["tracks"].items()},
            tuple(Mark(pts, checksum) for pts, checksum in record["marks"]),
            Counts.from_json(record["counts"]),
        )

    def _tidy(self, finished: Sequence[Segment]) -> None:
        """Delete all but the finished segments; their records go first, so that a crash leaves none half deleted."""
        kept = {self._record(segment.index) for segment in finished}
        kept |= {self.path(track, segment.index) for segment in finished for track in segment.tracks}
        kept.add(self._folder / RECIPE)
        if finished:
            kept.add(self._folder / ENDING)
        left = [path for path in self._folder.iterdir() if path not in kept]
        for path in sorted(left, key=lambda path: path.suffix != ".json"):
            path.unlink()


def read_recipe(folder: Path) -> dict[str, Any] | None:
    """How the segments of a folder were made, if there are any."""
    path = folder / RECIPE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def holds_segments(folder: Path) -> bool:
    """Whether a folder holds finished segments, however they were made."""
    return any(folder.glob("[0-9]*.json"))
