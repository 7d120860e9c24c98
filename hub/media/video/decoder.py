"""ClipDecoder: strangers' clips are opened by child processes that are bounded and can be killed."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hub.errors import Busy, InvalidInput
from hub.media.video.clip import ClipInfo, Frame
from hub.media.video.counts import Counts
from hub.media.video.process import VideoProcess, open_process

_PREFETCHED_BYTES = 64 << 20
_LEAST_PREFETCHED = 2
_GLANCES_AT_ONCE = 2
_WAIT_SECONDS = 30.0
# Times are 64-bit integers in FFmpeg.
_MOST_TICKS = 1 << 62
# So that a time which was computed from ticks finds its frame, whichever way floating point rounded it.
_TICK_SLACK = 1e-3


class Reading(Iterator[Frame]):
    """The frames of one clip in order; a thread fetches some ahead, about 64 MB of them.

    Raises in `__next__` what went wrong: InvalidInput, TooLarge, Cancelled, Busy.
    counts: of what was met from the first frame up to the one taken last, and after the end of all.
    frames, remarks: how many there were, and what is to be said of the file as a whole; set after the end.
    """

    def __init__(self, process: VideoProcess, info: ClipInfo) -> None:
        self.frames = 0
        self.counts = Counts()
        self.remarks: tuple[str, ...] = ()
        self._process = process
        self._info = info
        self._changed = threading.Condition()
        self._ready: deque[tuple[Frame, Counts]] = deque()
        self._bytes = 0
        self._end: Mapping[str, Any] | BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._fetch,), name="clip-reading", daemon=True
        )
        self._thread.start()

    def __next__(self) -> Frame:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._end is not None)
            if self._ready:
                frame, self.counts = self._ready.popleft()
                self._bytes -= frame.pixels.nbytes
                self._changed.notify_all()
                return frame
            end = self._end
        if isinstance(end, BaseException):
            raise end
        if end is not None:
            self.frames, self.remarks = int(end["frames"]), tuple(str(remark) for remark in end["remarks"])
            self.counts = _counts(end)
        raise StopIteration

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, of what was taken so far."""
        return (*self.counts.notes(), *self.remarks)

    @property
    def waiting(self) -> int:
        """How many frames were fetched and not yet taken."""
        return len(self._ready)

    def stop(self) -> None:
        """Fetch no more; the child must have been ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            self._end = self._end or _stopping()
            self._changed.notify_all()

    def _fetch(self) -> None:
        end: Mapping[str, Any] | Exception | None
        try:
            end = self._fetch_all()
        except Exception as error:  # noqa: BLE001 (raised again where the frames are taken)
            end = error
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def _fetch_all(self) -> Mapping[str, Any] | None:
        """Queue all frames; what the child says at the end, or None when nobody wants more."""
        counts = Counts()
        while True:
            message, pixels = self._process.receive()
            if "end" in message:
                end: Mapping[str, Any] = message["end"]
                return end
            if "counts" in message:
                counts = _counts(message)
            if "frame" in message and not self._keep(_frame(message, pixels, self._info), counts):
                return None

    def _keep(self, frame: Frame, counts: Counts) -> bool:
        """Queue a frame when there is room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or len(self._ready) < _LEAST_PREFETCHED
                    or self._bytes + frame.pixels.nbytes <= _PREFETCHED_BYTES
                )
            )
            if self._closed:
                return False
            self._ready.append((frame, counts))
            self._bytes += frame.pixels.nbytes
            self._changed.notify_all()
        return True


class ClipDecoder:
    """Reads clips in child processes, one for each call; safe to use from any thread.

    max_pixels, max_seconds, max_frames: what a clip may be, by its header and while it is decoded.
    silence: seconds without a sign of life after which a child is given up.
    memory_bytes: address space of one child.
    """

    def __init__(
        self, *, max_pixels: int, max_seconds: float, max_frames: int, silence: float, memory_bytes: int
    ) -> None:
        self._limits = {"max_pixels": max_pixels, "max_seconds": max_seconds, "max_frames": max_frames}
        self._silence = silence
        self._memory_bytes = memory_bytes
        self._glances = threading.BoundedSemaphore(_GLANCES_AT_ONCE)
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[VideoProcess] = set()

    def probe(self, path: Path, *, queue: bool = True, cancelled: Callable[[], bool] | None = None) -> ClipInfo:
        """Read the clip's header and first frame.

        queue: wait for one of the few turns that all short looks share, and be refused when none comes free in time;
            a job that was accepted must not depend on that.
        Raises UnsupportedMedia (not a clip, no video), InvalidInput (empty, damaged), TooLarge, Busy, Cancelled.
        """
        turn = self._glance() if queue else nullcontext()
        with turn, self._child({"do": "probe", "path": _full(path)}, cancelled) as child:
            message, _ = child.receive()
        try:
            return ClipInfo.from_json(message["info"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise _nonsense() from error

    @contextmanager
    def read(
        self,
        path: Path,
        info: ClipInfo,
        *,
        since: int | None = None,
        until: int | None = None,
        seek: bool = True,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Reading]:
        """The frames of since <= pts < until, in ticks of the clip's time base; leaving the context ends the child.

        seek: begin at a key frame well before `since` where the format has exact times of its own, rather than decode
            all that comes before.
        """
        request = _request(path, info, since=since, until=until, seek=seek)
        with self._child(request, cancelled) as child:
            reading = Reading(child, info)
            try:
                yield reading
            finally:
                child.kill()
                reading.stop()

    def frame_at(self, path: Path, info: ClipInfo, seconds: float) -> Frame:
        """The frame that is shown at a presentation time; outside the clip the first or the last one."""
        if not math.isfinite(seconds):
            raise InvalidInput("invalid_time", f"The time must be a number of seconds, not {seconds}.")
        at = max(-_MOST_TICKS, min(_MOST_TICKS, math.floor(seconds / info.time_base + _TICK_SLACK)))
        if info.seconds is not None:
            at = min(at, math.ceil((float(info.start) + info.seconds) / info.time_base))
        with self._glance(), self._child(_request(path, info, at=at, seek=True), None) as child:
            while True:
                message, pixels = child.receive()
                if "frame" in message:
                    return _frame(message, pixels, info)
                if "end" in message:
                    raise InvalidInput("damaged_video", "No picture of the clip can be decoded at that time.")

    def close(self) -> None:
        """End all children; calls under way, and later ones, raise Busy."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for child in running:
            child.kill()

    @contextmanager
    def _glance(self) -> Iterator[None]:
        """A turn for something short that somebody waits for."""
        if not self._glances.acquire(timeout=_WAIT_SECONDS):
            raise Busy(
                "decoder_busy",
                f"The hub is busy looking at other clips; this one waited {_WAIT_SECONDS:g} seconds for its turn."
                " Try again in a moment.",
            )
        try:
            yield
        finally:
            self._glances.release()

    @contextmanager
    def _child(self, request: Mapping[str, Any], cancelled: Callable[[], bool] | None) -> Iterator[VideoProcess]:
        self._check_open()
        full = {**request, "limits": self._limits}
        with open_process(full, memory_bytes=self._memory_bytes, silence=self._silence, cancelled=cancelled) as child:
            with self._lock:
                self._running.add(child)
            try:
                self._check_open()
                yield child
            finally:
                with self._lock:
                    self._running.discard(child)

    def _check_open(self) -> None:
        if self._closed:
            raise _stopping()


def _stopping() -> Busy:
    return Busy("stopping", "The hub is shutting down. Try again later.")


def _nonsense() -> InvalidInput:
    return InvalidInput(
        "damaged_video", "The clip made its decoder answer nonsense: it is damaged. Send an undamaged copy."
    )


def _full(path: Path) -> str:
    return str(path.resolve(strict=True))


def _frame(message: Mapping[str, Any], pixels: NDArray[Any] | None, info: ClipInfo) -> Frame:
    """A frame that a child sent; the child may be in a stranger's hands, so nothing is taken on trust."""
    pts, duration = message["frame"]["pts"], message["frame"]["duration"]
    shape = (info.height, info.width, info.channels)
    if pixels is None or pixels.shape != shape or pixels.dtype.name != info.dtype or not isinstance(pts, int):
        raise _nonsense()
    return Frame(pixels, pts, duration if isinstance(duration, int) else None)


def _counts(message: Mapping[str, Any]) -> Counts:
    try:
        return Counts.from_json(message["counts"])
    except (KeyError, TypeError, AttributeError) as error:
        raise _nonsense() from error


def _request(
    path: Path,
    info: ClipInfo,
    *,
    since: int | None = None,
    until: int | None = None,
    at: int | None = None,
    seek: bool,
) -> dict[str, Any]:
    times = {"since": since, "until": until, "at": at, "seek": seek}
    return {"do": "read", "path": _full(path), "info": info.to_json(), **times}
