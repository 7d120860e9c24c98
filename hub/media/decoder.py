"""PhotoDecoder: strangers' files are opened by bounded processes that can be killed and replaced."""

from __future__ import annotations

import logging
import math
import queue
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hub.errors import Busy, InvalidInput
from hub.media import wire
from hub.media.photo import Photo, PhotoInfo
from hub.media.process import Worker, WorkerLostError

logger = logging.getLogger(__name__)

_REQUESTS_PER_WORKER = 500
# A header that takes longer than this is hostile, and others wait behind it.
_PROBE_SECONDS = 20.0
_WAIT_SECONDS = 30.0
# Jobs would be lost if they gave up early: they outwait files that each take all the time there is.
_DECODES_WAITED_FOR = 10


class _Lane:
    """The workers for one kind of request, and who waits for them.

    seconds: what a file may take. wait: seconds for which a call stands in line.
    """

    def __init__(self, workers: int, *, seconds: float, wait: float) -> None:
        self.seconds = seconds
        self.wait = wait
        self.slots: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self.slots.put(None)

    def take(self) -> Worker | None:
        """A slot, with its worker if it has one; put it back. Raises Busy when none gets free in time."""
        try:
            return self.slots.get(timeout=self.wait)
        except queue.Empty:
            raise Busy(
                "decoder_busy",
                f"The hub is busy reading other photos; this one waited {self.wait:g} seconds for its turn."
                " Try again in a moment.",
                retry_after=max(1, math.ceil(min(self.seconds, self.wait))),
            ) from None


class PhotoDecoder:
    """Reads photos in a few worker processes; safe to call from any thread, which then waits its turn.

    Headers and previews have a worker each of their own, started when first needed, so that whoever sends or looks at
    a photo never waits for the photos being decoded. Any call raises Busy (`decoder_busy`) rather than wait forever.

    max_pixels: checked from the header, before anything is decoded.
    timeout: seconds, of the clock and of processor time, after which a file is given up and its worker replaced.
    memory_bytes: address space of one worker.
    workers: photos decoded at once.
    temp_dir: where pixels pass from the worker to the hub, in files that have no name and so never stay behind.
    max_wait: seconds for which a call waits for a worker; by default 30 for headers and previews, and ten timeouts
        for whole photos.
    """

    def __init__(
        self,
        *,
        max_pixels: int,
        timeout: float,
        memory_bytes: int,
        workers: int = 2,
        temp_dir: Path,
        max_wait: float | None = None,
    ) -> None:
        self._max_pixels = max_pixels
        self._memory_bytes = memory_bytes
        self._temp_dir = temp_dir
        temp_dir.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[Worker] = set()
        glance = _WAIT_SECONDS if max_wait is None else max_wait
        patience = timeout * _DECODES_WAITED_FOR if max_wait is None else max_wait
        self._probes = _Lane(1, seconds=min(timeout, _PROBE_SECONDS), wait=glance)
        self._previews = _Lane(1, seconds=timeout, wait=glance)
        self._decodes = _Lane(workers, seconds=timeout, wait=patience)

    def warm(self) -> None:
        """Start workers now, without waiting for them, so that the first photo finds them ready."""
        for lane in (self._probes, self._decodes):
            try:
                worker = lane.slots.get_nowait()
            except queue.Empty:
                continue
            try:
                worker = self._usable(worker)
            finally:
                lane.slots.put(worker)

    def probe(self, path: Path) -> PhotoInfo:
        """Read the file's header.

        Raises UnsupportedMedia (not an image), InvalidInput (empty, damaged), TooLarge (too many pixels), Busy.
        """
        return wire.unpack_info(self._ask(self._probes, {"do": "probe"}, path)["info"])

    def decode(self, path: Path) -> Photo:
        """Read the whole photo. Raises as `probe`, and Busy also when the disk is full.

        Its pixels are mapped from a nameless file: changes stay private, and dropping the array frees the file.
        """
        with tempfile.TemporaryFile(dir=self._temp_dir) as file:
            reply = self._ask(self._decodes, {"do": "decode"}, path, file)
            info = wire.unpack_info(reply["info"])
            pixels = _mapped(file, (info.height, info.width, info.channels), info.dtype)
        return Photo(pixels, info, **wire.unpack_metadata(reply["metadata"]))

    def preview(self, path: Path, max_side: int = 800) -> Photo:
        """A small picture of the file: 8-bit sRGB (H, W, 3), at most max_side pixels on a side, without metadata."""
        with tempfile.TemporaryFile(dir=self._temp_dir) as file:
            reply = self._ask(self._previews, {"do": "preview", "max_side": max_side}, path, file)
            height, width, channels = (int(side) for side in reply["shape"])
            pixels = _mapped(file, (height, width, channels), "uint8")
        info = wire.unpack_info(reply["info"])
        return Photo(pixels, PhotoInfo(info.format, width, height, 8, "rgb", False, info.lossless, info.notes))

    def close(self) -> None:
        """End all workers; calls under way, and later ones, raise Busy."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for worker in running:
            worker.kill()
        for lane in (self._probes, self._previews, self._decodes):
            idle = []
            with suppress(queue.Empty):
                while True:
                    idle.append(lane.slots.get_nowait())
            for slot in idle:
                if slot is not None:
                    self._drop(slot)
                lane.slots.put(None)

    def _ask(
        self, lane: _Lane, request: Mapping[str, Any], path: Path, file: IO[bytes] | None = None
    ) -> dict[str, Any]:
        full = {
            **request,
            "path": str(path.resolve(strict=True)),
            "max_pixels": self._max_pixels,
            "seconds": lane.seconds,
        }
        descriptor = None if file is None else file.fileno()
        worker = lane.take()
        try:
            # A worker killed from outside says nothing of the file: it is asked for once more.
            for last in (False, True):
                try:
                    worker = self._usable(worker)
                    reply = worker.ask(full, descriptor, lane.seconds)
                except WorkerLostError as error:
                    lost, worker = worker, None
                    reason = self._explain(lost, error, path, lane.seconds)
                    if last or not error.killed:
                        raise reason from error
                else:
                    break
        finally:
            lane.slots.put(worker)
        if "error" in reply:
            raise wire.unpack_error(reply["error"])
        return reply

    def _usable(self, worker: Worker | None) -> Worker:
        """This worker, or a fresh one where it has died or served its time."""
        if worker is not None:
            if worker.alive and worker.requests < _REQUESTS_PER_WORKER:
                return worker
            self._drop(worker)
        with self._lock:
            if self._closed:
                raise _stopping()
            worker = Worker(self._memory_bytes)
            self._running.add(worker)
        return worker

    def _drop(self, worker: Worker) -> None:
        with self._lock:
            self._running.discard(worker)
        worker.dispose()

    def _explain(self, worker: Worker | None, error: WorkerLostError, path: Path, seconds: float) -> Exception:
        """Dispose of a lost worker; the error to show for it."""
        if worker is None:
            return _stopping()
        tail, started = worker.log_tail(), worker.started
        self._drop(worker)
        if self._closed:
            return _stopping()
        if error.killed:
            logger.warning("decoder lost on %s (killed from outside)", path.name)
            return Busy(
                "decoder_lost",
                "The process that reads photos was killed twice; the machine may be short of memory. Try again later.",
            )
        if not started:
            logger.error("a photo decoder process ended before it could begin: %s", tail)
            return Busy("decoder_lost", "The process that reads photos ended before it could begin. Try again.")
        logger.warning("decoder lost on %s (timed out: %s): %s", path.name, error.timed_out, tail)
        if error.timed_out:
            return InvalidInput(
                "decode_timeout",
                f"The file could not be decoded within {seconds:g} seconds and was given up:"
                " it is damaged or too complex.",
            )
        return InvalidInput("damaged_image", "The file made its decoder crash: it is damaged. Send an undamaged copy.")


def _stopping() -> Busy:
    return Busy("stopping", "The hub is shutting down. Try again later.")


def _mapped(file: IO[bytes], shape: tuple[int, int, int], dtype: str) -> NDArray[Any]:
    """The file's bytes as an array whose changes stay in memory."""
    return np.asarray(np.memmap(file, dtype=dtype, mode="c", shape=shape))
