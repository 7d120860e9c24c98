"""Writing clips, as the hub sees it: frames to segment files in one child, segments to the result in another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.codecs import EncodePlan
from hub.media.video.process import VideoProcess, open_process

QUEUE_BYTES = 64 << 20
_BOUNDLESS = 1 << 62
# Bytes per second that any disk copies.
_SLOW_DISK = 5 << 20


@dataclass(frozen=True)
class SegmentInfo:
    """A finished segment. Times in ticks of the clip's time base; end_pts: where its last frame ends.

    reorder: by how many places a frame is coded later than it is shown, at most.
    """

    frames: int
    first_pts: int
    last_pts: int
    end_pts: int
    bytes: int
    reorder: int = 0

    def to_json(self) -> dict[str, int]:
        """The segment in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, packed: Mapping[str, Any]) -> SegmentInfo:
        """The segment that `to_json` packed."""
        return cls(**{name: int(packed[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Joined:
    """A finished result: its picture, and how many streams of the input travelled along.

    seconds: from the first frame's time to the end of the last. attachments: fonts, cover pictures and the like.
    notes: what could not, or not as it was.
    """

    frames: int
    seconds: float
    bytes: int
    audio: int = 0
    subtitles: int = 0
    attachments: int = 0
    chapters: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Begin:
    path: Path
    done: Callable[[SegmentInfo], None]


class _End:
    """The segment is complete."""


class _Stop:
    """The clip is complete."""


class ClipWriter:
    """Encodes frames into one segment file after the other, in a child process fed by a thread of its own.

    A context manager. Left by an exception, it ends the child; otherwise it waits as `close` does.
    memory_bytes: what the child may take. silence: seconds for which it may take nothing of a frame, or say nothing
    while a segment is finished.
    queue_bytes: how much may wait to be encoded; at least one frame may.
    """

    def __init__(
        self,
        plan: EncodePlan,
        *,
        memory_bytes: int,
        silence: float,
        cancelled: Callable[[], bool] | None = None,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._plan = plan
        # Drivers of graphics hardware reserve address space beyond all bounds; what is encoded is the hub's own.
        self._memory_bytes = memory_bytes if plan.hardware is None else _BOUNDLESS
        self._silence = silence
        self._cancelled = cancelled or (lambda: False)
        self._queue_bytes = queue_bytes
        self._items: deque[_Begin | _End | _Stop | Frame] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="clip-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._abandoned = True
        with self._changed:
            self._items.clear()
            self._items.append(_Stop())
            self._changed.notify_all()
        self._thread.join()

    def begin(self, path: Path, done: Callable[[SegmentInfo], None]) -> None:
        """Put the frames that follow into this file.

        done: called from the writer's thread once the file is finished and closed; what it raises ends the writer.
        """
        self._put(_Begin(path, done), 0)

    def write(self, frame: Frame) -> None:
        """Hand over a frame, not to be changed afterwards; waits while the queue is full.

        Raises what went wrong with the frames before.
        """
        self._put(frame, frame.pixels.nbytes)

    def end(self) -> None:
        """This segment is complete; does not wait for it to be written."""
        self._put(_End(), 0)

    def close(self) -> None:
        """Wait until everything is written. Raises what went wrong."""
        with self._changed:
            if not self._items or not isinstance(self._items[-1], _Stop):
                self._items.append(_Stop())
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _put(self, item: _Begin | _End | Frame, size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._error is not None
                    or not self._waiting_bytes
                    or self._waiting_bytes + size <= self._queue_bytes
                )
            )
            if self._error is not None:
                raise self._error
            self._items.append(item)
            self._waiting_bytes += size
            self._changed.notify_all()

    def _take(self) -> _Begin | _End | _Stop | Frame:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items))
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._waiting_bytes -= item.pixels.nbytes
            self._changed.notify_all()
            return item

    def _run(self) -> None:
        try:
            with open_process(
                {"do": "encode", "plan": self._plan.to_json()},
                memory_bytes=self._memory_bytes,
                silence=self._silence,
                cancelled=lambda: self._abandoned or self._cancelled(),
            ) as process:
                self._feed(process)
        except BaseException as error:  # noqa: BLE001 (raised again by whoever uses the writer next)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _feed(self, process: VideoProcess) -> None:
        begun: _Begin | None = None
        while not isinstance(item := self._take(), _Stop):
            match item:
                case _Begin():
                    begun = item
                    # Absolute, as all paths are: the child works in another folder.
                    process.send({"open": str(item.path.absolute())})
                case Frame():
                    process.send({"frame": {"pts": item.pts, "duration": item.duration}}, item.pixels)
                case _End():
                    if begun is None:
                        raise RuntimeError("a segment was ended that was not begun")
                    process.send({"close": True})
                    message: dict[str, Any] = {}
                    while "segment" not in message:
                        message, _ = process.receive()
                    begun.done(SegmentInfo.from_json(message["segment"]))
                    begun = None


def join_clip(
    source: Path,
    info: ClipInfo,
    plan: EncodePlan,
    segments: Sequence[tuple[Path, SegmentInfo]],
    output: Path,
    *,
    start: float | None = None,
    end: float | None = None,
    carry: bool = True,
    memory_bytes: int,
    silence: float,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Joined:
    """Make the result of finished segments and of everything else that the input holds, without decoding any of it.

    start, end: the part of the input that was restored, in seconds of presentation time; with a start, the result
    begins at 0. carry: take sound and all else along, not the picture alone. progress: told what share is done, 0 to 1.
    Raises HubError; `output` is then not a whole file.
    """
    request = {
        "do": "join",
        "source": str(source.absolute()),
        "info": info.to_json(),
        "plan": plan.to_json(),
        "segments": [{"path": str(path.absolute()), **segment.to_json()} for path, segment in segments],
        "output": str(output.absolute()),
        "start": start,
        "end": end,
        "carry": carry,
    }
    with open_process(request, memory_bytes=memory_bytes, silence=silence, cancelled=cancelled) as process:
        extra = 0.0
        while True:
            message, _ = process.receive(extra=extra)
            if "joined" in message:
                fields = message["joined"]
                return Joined(**{**fields, "notes": tuple(str(note) for note in fields["notes"])})
            if "closing" in message:
                extra = message["closing"] / _SLOW_DISK
            elif progress is not None:
                progress(float(message["progress"]))
