"""One client's live frames: the newest waits, one is restored, none piles up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.catalog import Catalog, ModelEntry
from hub.engine import EngineSession
from hub.errors import Busy, Cancelled, HubError
from hub.failures import restoring
from hub.live.downloads import ANSWER_SECONDS, Downloads
from hub.live.messages import OPTIONS_BYTES, Message, check_size
from hub.live.options import LiveFrame, LiveOptions, RestoredFrame
from hub.live.pictures import decode, encode, from_base64, write_rate
from hub.live.slots import SlotRunner, Slots
from hub.live.workers import HeldSession, Workers
from hub.restoration import RestoreLimits
from uformer.restore import RestoreOptions, Restorer

RATE_SECONDS = 2.0
"""The frames per second that are shown are those of so many seconds."""


@dataclass(frozen=True)
class LiveTerms:
    """What a live client may send, and how frames are cut up.

    max_bytes: of a frame's file. interval: least seconds from one frame to the next.
    """

    max_bytes: int
    max_pixels: int
    interval: float
    limits: RestoreLimits
    tile: int | None
    overlap: int


class Tally:
    """What all live clients together have seen; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"frames_total": 0, "dropped_total": 0, "failed_total": 0}

    def add(self, name: str) -> None:
        """Count one of `frames_total` (restored), `dropped_total` (for a newer one) or `failed_total`."""
        with self._lock:
            self._counts[name] += 1

    def counts(self) -> dict[str, int]:
        """The counts as they stand."""
        with self._lock:
            return dict(self._counts)


class LiveSession:
    """One client. Its methods are for the event loop of that client; frames are restored in the workers' threads.

    slots: lets only so many frames of all clients be worked on at once. A frame is taken when it gets a slot, and not
    when a thread begins with its client, so that it is the newest there is.
    """

    def __init__(
        self,
        catalog: Catalog,
        downloads: Downloads,
        workers: Workers,
        slots: Slots,
        terms: LiveTerms,
        tally: Tally,
    ) -> None:
        self._catalog = catalog
        self._downloads = downloads
        self._workers = workers
        self._slots = slots
        self._terms = terms
        self._tally = tally
        self._lock = threading.Lock()
        self._frame: LiveFrame | str | None = None
        self._offered = asyncio.Event()
        self._working = False
        self._closed = False
        self._next = 0.0
        self._heard = time.monotonic()
        self._dismissed = asyncio.Event()
        self._times: deque[float] = deque(maxlen=240)

    @property
    def idle_seconds(self) -> float:
        """For how long there has been nothing to do; 0 while a frame waits or is being restored."""
        return 0.0 if self._working or self._offered.is_set() else time.monotonic() - self._heard

    def dismiss(self) -> None:
        """Have the client leave: another one has its place."""
        self._dismissed.set()

    async def dismissed(self) -> None:
        """Wait until the client should leave."""
        await self._dismissed.wait()

    def offer(self, frame: LiveFrame | str) -> None:
        """Put a frame in the place of the one that waits, if one does; raises TooLarge (`frame_too_large`).

        A text is a message that holds a frame. It is read when its turn has come, if that comes: what is replaced costs
        nothing.
        """
        if isinstance(frame, str):
            check_size(frame, self._terms.max_bytes, beside=OPTIONS_BYTES)
        else:
            check_size(frame.data, self._terms.max_bytes)
        with self._lock:
            dropped, self._frame = self._frame is not None, frame
        if dropped:
            self._tally.add("dropped_total")
        self._offered.set()
        self._heard = time.monotonic()

    async def answer(self) -> RestoredFrame:
        """Wait for a frame and restore it; to be called again once the client has got the answer.

        Raises InvalidInput, UnsupportedMedia, TooLarge, Conflict (no weights), Busy (`fetching_weights`), HubError
        (`out_of_memory`), Cancelled.
        """
        await self._offered.wait()
        pause = self._next - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        self._next = time.monotonic() + self._terms.interval
        self._working = True
        try:
            return await asyncio.wrap_future(self._workers.submit(self._restore))
        finally:
            self._working = False
            self._heard = time.monotonic()
            if self._frame is None:
                self._offered.clear()

    async def check(self, options: LiveOptions) -> tuple[LiveOptions, bool]:
        """The options with the model that they mean, and whether its weights are here already.

        Raises InvalidInput, Conflict (weights that cannot be had).
        """
        checked = await asyncio.to_thread(self._check, options)
        self._heard = time.monotonic()
        return checked

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        self._closed = True

    def _check(self, options: LiveOptions) -> tuple[LiveOptions, bool]:
        entry = self._catalog.resolve(options.task_type, options.model_name)
        if not entry.installed:
            with suppress(Busy):  # They are on their way; the frames will tell how far they are.
                self._downloads.want(entry)
        return options.model_copy(update={"task_type": entry.task, "model_name": entry.name}), entry.installed

    def _entry(self, options: LiveOptions) -> ModelEntry:
        entry = self._catalog.resolve(options.task_type, options.model_name)
        if not entry.installed:
            self._downloads.want(entry, ANSWER_SECONDS)
        return entry

    def _restore(self, held: HeldSession) -> RestoredFrame:
        """Restore the newest frame, in a worker's thread."""
        try:
            while True:
                wanted = self._peek()
                # Before a slot is taken: another model may take seconds to load, for which nobody else should wait.
                session = self._session(held, wanted)
                with self._slots:
                    frame = self._take(wanted)
                    if frame is not None:
                        restored = self._restored(frame, self._slots.runner(session, held.warmed))
                        self._tally.add("frames_total")
                        return restored
        except (Busy, Cancelled):  # It should come again later; the client left, or the hub stops.
            raise
        except Exception:
            self._tally.add("failed_total")
            raise

    def _session(self, held: HeldSession, wanted: LiveOptions) -> EngineSession:
        try:
            return held.of(self._entry(wanted).name, lambda: self._closed)
        except Exception:
            self._take(wanted)  # The error is its answer.
            raise

    def _peek(self) -> LiveOptions:
        """The options of the newest frame, which is read if that was not done yet."""
        while True:
            with self._lock:
                frame = self._frame
            if frame is None:
                raise RuntimeError("There is no frame to restore.")
            if isinstance(frame, LiveFrame):
                return frame.options
            try:
                read = Message.read(frame).frame
                check_size(read.data, self._terms.max_bytes)
            except HubError:
                with self._lock:
                    if self._frame is frame:
                        self._frame = None  # The error is its answer.
                        raise
                continue
            with self._lock:
                if self._frame is frame:
                    self._frame = read

    def _take(self, wanted: LiveOptions) -> LiveFrame | None:
        """The newest frame, unless it asks for another model by now."""
        with self._lock:
            frame = self._frame
            if not isinstance(frame, LiveFrame) or frame.options.model != wanted.model:
                return None
            self._frame = None
            return frame

    def _restored(self, frame: LiveFrame, runner: SlotRunner) -> RestoredFrame:
        began = time.monotonic()
        terms = self._terms
        as_text = isinstance(frame.data, str)
        data = from_base64(frame.data) if isinstance(frame.data, str) else frame.data
        check_size(data, terms.max_bytes)
        pixels = decode(data, terms.max_pixels)
        restorer = Restorer(
            runner, max_tile_pixels=terms.limits.max_tile_pixels, max_whole_pixels=terms.limits.max_whole_pixels
        )
        options = RestoreOptions(tile=terms.tile, overlap=terms.overlap, whole=not frame.options.use_patch_processing)
        with restoring("a frame of this size"):
            restored: NDArray[np.uint8] = restorer.restore(pixels, options).image
        rate = self._rate(began)
        if frame.options.show_fps:
            write_rate(restored, rate)
        return RestoredFrame.of(encode(restored, frame.options.quality), as_text=as_text)

    def _rate(self, began: float) -> float:
        """Frames per second of late, the one that has just been restored among them."""
        now = time.monotonic()
        self._times.append(now)
        while now - self._times[0] > RATE_SECONDS:
            self._times.popleft()
        gaps = len(self._times) - 1
        seconds = now - (self._times[0] if gaps else began)
        return max(1, gaps) / max(seconds, 1e-3)
