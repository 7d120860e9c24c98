"""All live clients: their places, the threads they share, and what they have seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hub.errors import Busy
from hub.live.downloads import Downloads
from hub.live.lobby import Lobby
from hub.live.options import FORMATS
from hub.live.session import LiveSession, LiveTerms, Tally
from hub.live.slots import Slots
from hub.live.workers import Workers
from hub.parts import restore_limits
from hub.stopping import Stopping

if TYPE_CHECKING:
    from hub.catalog import Catalog
    from hub.fetch import Fetcher
    from hub.networks import Networks
    from hub.settings import Settings

THREADS = 16
"""At most; those beyond the frames at once wait for models to be loaded."""
FRAMES_AT_ONCE = 4
"""Frames worked on at once, so that some are decoded and encoded while others are in the network, and a GPU gets a
batch. More would only grow old in the engine's queue, where no newer frame could take their place."""
STOP_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""How long a client keeps its place without frames when others want it."""


class Live:
    """Opens sessions for live clients; thread-safe but for `open`.

    fetcher: gets weights that a frame needs, where settings allow it. stopping: from its beginning on no client is let
    in, and those that are there should leave. lobby: takes the sockets that have not come as far as `open`.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        networks: Networks,
        fetcher: Fetcher,
        stopping: Stopping | None = None,
    ) -> None:
        self.stopping = stopping or Stopping()
        self.lobby = Lobby()
        self._settings = settings
        self._catalog = catalog
        self._terms = LiveTerms(
            max_bytes=settings.live_max_frame_kb * 1000,
            max_pixels=int(settings.live_max_megapixels * 1e6),
            interval=1 / settings.live_max_fps,
            limits=restore_limits(settings),
            tile=settings.tile,
            overlap=settings.overlap,
        )
        self._workers = Workers(networks, min(settings.live_clients, THREADS))
        self._downloads = Downloads(fetcher, self.stopping, allowed=settings.auto_fetch)
        self._slots = Slots(FRAMES_AT_ONCE)
        self._tally = Tally()
        self._lock = threading.Lock()
        self._sessions: set[LiveSession] = set()

    @property
    def max_frame_bytes(self) -> int:
        """Of a frame's file."""
        return self._terms.max_bytes

    @contextmanager
    def open(self) -> Iterator[LiveSession]:
        """A place for one client while the context lasts; called in the event loop of all of them.

        If there is none, the client that has been idle longest is dismissed, and loses its place at once. Raises Busy
        (`live_full`) where nobody has been idle for IDLE_SECONDS.
        """
        with self._lock:
            if self.stopping.begun or not self._has_place():
                most = self._settings.live_clients
                raise Busy("live_full", f"All {most} places for live frames are taken; please try again later.")
            session = LiveSession(self._catalog, self._downloads, self._workers, self._slots, self._terms, self._tally)
            self._sessions.add(session)
        try:
            yield session
        finally:
            session.close()
            with self._lock:
                self._sessions.discard(session)

    def _has_place(self) -> bool:
        if len(self._sessions) < self._settings.live_clients:
            return True
        idlest = max(self._sessions, key=lambda session: session.idle_seconds)
        if idlest.idle_seconds < IDLE_SECONDS:
            return False
        idlest.dismiss()
        self._sessions.remove(idlest)
        return True

    def limits(self) -> dict[str, Any]:
        """What a client must know: formats, max_frame_kb, max_megapixels, max_fps, idle_seconds."""
        return {
            "formats": list(FORMATS),
            "max_frame_kb": self._settings.live_max_frame_kb,
            "max_megapixels": self._settings.live_max_megapixels,
            "max_fps": self._settings.live_max_fps,
            "idle_seconds": IDLE_SECONDS,
        }

    def counters(self) -> dict[str, int]:
        """Now: clients, threads; since the start: frames_total (restored), dropped_total (for newer), failed_total."""
        return {"clients": len(self._sessions), "threads": self._workers.threads, **self._tally.counts()}

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Have the clients leave, give their frames up, and wait for the threads; call it before the engine stops."""
        self.stopping.begin()
        self._workers.stop(seconds)
