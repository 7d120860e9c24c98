"""PhotoDecoder: strangers' files are opened by bounded processes that can be killed and replaced."""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import hub
from hub.errors import Busy, InvalidInput
from hub.media import wire
from hub.media.photo import Photo, PhotoInfo

logger = logging.getLogger(__name__)

_ROOT = Path(next(iter(hub.__path__))).resolve().parent
_START_SECONDS = 60.0
_REQUESTS_PER_WORKER = 500
# The decoder gets nothing else of the hub's environment: that may hold keys.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")


class _WorkerLostError(Exception):
    """The process died or ran out of time."""

    def __init__(self, timed_out: bool) -> None:
        super().__init__()
        self.timed_out = timed_out


class _Worker:
    """One decoder process and the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._channel, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill)
        self._ready = False
        self.requests = 0
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hub.media.worker", str(memory_bytes)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                cwd=_ROOT,
                # Its own session: Ctrl-C reaches the hub alone, which then closes the socket.
                start_new_session=True,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
                | {
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                    "MALLOC_ARENA_MAX": "2",
                },
            )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], descriptor: int | None, timeout: float) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises _WorkerLostError."""
        try:
            if not self._ready:
                wire.receive(self._channel, _START_SECONDS)
                self._ready = True
            self.requests += 1
            wire.send(self._channel, request, () if descriptor is None else (descriptor,))
            reply, _ = wire.receive(self._channel, timeout)
        except TimeoutError as error:
            raise _WorkerLostError(timed_out=self._ready) from error
        except (EOFError, OSError, ValueError, TypeError) as error:
            raise _WorkerLostError(timed_out=self._wait() == -signal.SIGXCPU) from error
        return reply

    def _wait(self) -> int | None:
        """The exit status of a process that has closed its socket."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None

    @property
    def started(self) -> bool:
        """Whether the process ever reported for work."""
        return self._ready

    def log_tail(self) -> str:
        """The last of what the process wrote to its standard error."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 2000))
        return self._log.read().decode("utf-8", "replace").strip()

    def kill(self) -> None:
        """End the process; whoever waits for its answer is told."""
        self._process.kill()
        self._process.wait()

    def dispose(self) -> None:
        """End the process and give back what it held here. Only for the one who holds the worker."""
        self.kill()
        self._channel.close()
        self._log.close()


class PhotoDecoder:
    """Reads photos in a few worker processes; safe to call from any thread, which then waits its turn.

    max_pixels: checked from the header, before anything is decoded.
    timeout: seconds, of the clock and of processor time, after which a file is given up and its worker replaced.
    memory_bytes: address space of one worker.
    temp_dir: where pixels pass from the worker to the hub, in files that have no name and so never stay behind.
    """

    def __init__(self, *, max_pixels: int, timeout: float, memory_bytes: int, workers: int = 2, temp_dir: Path) -> None:
        self._max_pixels = max_pixels
        self._timeout = timeout
        self._memory_bytes = memory_bytes
        self._temp_dir = temp_dir
        temp_dir.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[_Worker] = set()
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._slots.put(None)

    def warm(self) -> None:
        """Start a worker now, without waiting for it, so that the first photo finds one ready."""
        try:
            worker = self._slots.get_nowait()
        except queue.Empty:
            return
        try:
            worker = self._usable(worker)
        finally:
            self._slots.put(worker)

    def probe(self, path: Path) -> PhotoInfo:
        """Read the file's header.

        Raises UnsupportedMedia (not an image), InvalidInput (empty, damaged), TooLarge (too many pixels).
        """
        return wire.unpack_info(self._ask({"do": "probe"}, path)["info"])

    def decode(self, path: Path) -> Photo:
        """Read the whole photo. Raises as `probe`, and Busy when the disk is full.

        Its pixels are mapped from a nameless file: changes stay private, and dropping the array frees the file.
        """
        with tempfile.TemporaryFile(dir=self._temp_dir) as file:
            reply = self._ask({"do": "decode"}, path, file)
            info = wire.unpack_info(reply["info"])
            pixels = _mapped(file, (info.height, info.width, info.channels), info.dtype)
        return Photo(pixels, info, **wire.unpack_metadata(reply["metadata"]))

    def preview(self, path: Path, max_side: int = 800) -> Photo:
        """A small picture of the file: 8-bit sRGB (H, W, 3), at most max_side pixels on a side, without metadata."""
        with tempfile.TemporaryFile(dir=self._temp_dir) as file:
            reply = self._ask({"do": "preview", "max_side": max_side}, path, file)
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
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._slots.get_nowait())
        for slot in idle:
            if slot is not None:
                self._drop(slot)
            self._slots.put(None)

    def _ask(self, request: Mapping[str, Any], path: Path, file: IO[bytes] | None = None) -> dict[str, Any]:
        full = {
            **request,
            "path": str(path.resolve(strict=True)),
            "max_pixels": self._max_pixels,
            "seconds": self._timeout,
        }
        worker = self._slots.get()
        try:
            worker = self._usable(worker)
            reply = worker.ask(full, None if file is None else file.fileno(), self._timeout)
        except _WorkerLostError as error:
            lost, worker = worker, None
            raise self._explain(lost, error, path) from error
        finally:
            self._slots.put(worker)
        if "error" in reply:
            raise wire.unpack_error(reply["error"])
        return reply

    def _usable(self, worker: _Worker | None) -> _Worker:
        """This worker, or a fresh one where it has died or served its time."""
        if worker is not None:
            if worker.alive and worker.requests < _REQUESTS_PER_WORKER:
                return worker
            self._drop(worker)
        with self._lock:
            if self._closed:
                raise _stopping()
            worker = _Worker(self._memory_bytes)
            self._running.add(worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._running.discard(worker)
        worker.dispose()

    def _explain(self, worker: _Worker | None, error: _WorkerLostError, path: Path) -> Exception:
        """Dispose of a lost worker; the error to show for it."""
        if worker is None:
            return _stopping()
        tail, started = worker.log_tail(), worker.started
        self._drop(worker)
        if self._closed:
            return _stopping()
        if not started:
            return RuntimeError(f"the photo decoder process does not start: {tail}")
        logger.warning("decoder lost on %s (timed out: %s): %s", path.name, error.timed_out, tail)
        if error.timed_out:
            return InvalidInput(
                "decode_timeout",
                f"The file could not be decoded within {self._timeout:g} seconds and was given up:"
                " it is damaged or too complex.",
            )
        return InvalidInput("damaged_image", "The file made its decoder crash: it is damaged. Send an undamaged copy.")


def _stopping() -> Busy:
    return Busy("stopping", "The hub is shutting down. Try again later.")


def _mapped(file: IO[bytes], shape: tuple[int, int, int], dtype: str) -> NDArray[Any]:
    """The file's bytes as an array whose changes stay in memory."""
    return np.asarray(np.memmap(file, dtype=dtype, mode="c", shape=shape))
