"""Weights on their way because a live client asked for their model."""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING

from hub.catalog import unavailable
from hub.errors import Busy, Cancelled

if TYPE_CHECKING:
    from hub.catalog import ModelEntry
    from hub.fetch import Fetcher
    from hub.stopping import Stopping

ANSWER_SECONDS = 1.0
"""How long a frame waits for its model's weights before its client is told how far they are."""
WANTED_SECONDS = 30.0
"""How long a download goes on after the last frame for which it was wanted."""
AGAIN_SECONDS = 30.0
"""How long a download that failed is not tried again."""


class Downloads:
    """Fetches what live clients ask for, where that is allowed, and joins who asks for the same; thread-safe."""

    def __init__(self, fetcher: Fetcher, stopping: Stopping, *, allowed: bool) -> None:
        self._fetcher = fetcher
        self._stopping = stopping
        self._allowed = allowed
        self._lock = threading.Lock()
        self._downloads: dict[str, _Download] = {}

    def want(self, entry: ModelEntry, seconds: float = 0.0) -> None:
        """Have a model's weights fetched, and wait for them for so long.

        Raises Busy (`fetching_weights`) while they are on their way, Conflict where they cannot be had, and what the
        fetcher raised.
        """
        with self._lock:
            download = self._downloads.get(entry.name)
        if download is None or download.stale:
            if entry.source is None or not self._allowed or not self._fetcher.reachable(entry.name):
                raise unavailable(entry)
            with self._lock:
                if self._downloads.get(entry.name) is download:
                    self._downloads[entry.name] = _Download(self._fetcher, entry, self._stopping)
                download = self._downloads[entry.name]
        download.wait(seconds)


class _Download:
    """One model's weights on their way, in a thread that outlasts the frames."""

    def __init__(self, fetcher: Fetcher, entry: ModelEntry, stopping: Stopping) -> None:
        self._fetcher = fetcher
        self._entry = entry
        self._stopping = stopping
        self._wanted = time.monotonic()
        self._progress: tuple[int, int | None] = (0, None)
        self._error: Exception | None = None
        self._over: float | None = None
        self._ended = threading.Event()
        work = copy_context().run
        threading.Thread(target=work, args=(self._fetch,), name=f"live fetch {entry.name}", daemon=True).start()

    @property
    def stale(self) -> bool:
        """Whether it is over, and whoever wants the weights must begin anew."""
        failed = self._error is not None and not isinstance(self._error, Cancelled)
        return self._over is not None and (not failed or time.monotonic() > self._over + AGAIN_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait for the end, for so long; see Downloads.want."""
        self._wanted = time.monotonic()
        if not self._ended.wait(seconds):
            raise self._under_way()
        if self._error is not None:
            raise self._error.with_traceback(None)  # Raised many times, it would gather all that way.

    def _fetch(self) -> None:
        try:
            self._fetcher.fetch(self._entry.name, progress=self._told, cancelled=self._forsaken)
        except Exception as error:  # noqa: BLE001 - goes to those who wait
            self._error = error
        self._over = time.monotonic()
        self._ended.set()

    def _told(self, received: int, total: int | None) -> None:
        self._progress = received, total

    def _forsaken(self) -> bool:
        return self._stopping.begun or time.monotonic() > self._wanted + WANTED_SECONDS

    def _under_way(self) -> Busy:
        received, total = self._progress
        of_all = f" of {total / 1e6:.0f}" if total else ""
        return Busy(
            "fetching_weights",
            f"The model {self._entry.text} is being downloaded ({received / 1e6:.0f}{of_all} MB); "
            "go on sending frames, they come back restored as soon as it is here.",
            {"model_name": self._entry.name, "received_bytes": received, "total_bytes": total},
            retry_after=1,
        )
