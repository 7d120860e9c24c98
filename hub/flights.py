"""Work that several callers wait for together: one download, one look at the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from hub.download import open_client
from hub.errors import Cancelled

PROBE_SECONDS = 3.0
PROBE_KEPT_SECONDS = 30.0


class Flight:
    """A download under way, in a thread of its own, and those who wait for it.

    progress: bytes so far and in all. landed: path or error is there.
    """

    def __init__(self) -> None:
        self.callers = 0
        self.progress: tuple[int, int | None] | None = None
        self.stopped = threading.Event()
        self.landed = threading.Event()
        self.path: Path | None = None
        self.error: Exception | None = None

    def report(self, received: int, total: int | None) -> None:
        """Note how far the download is."""
        self.progress = (received, total)

    def check_stopped(self) -> None:
        """Raise Cancelled once nobody waits any more."""
        if self.stopped.is_set():
            raise Cancelled("The download was cancelled.")


class Probe:
    """A look whether any of some addresses delivers; all are asked at once, in the background."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._silent = len(urls)
        self._answered = threading.Event()
        self._reachable = False
        for url in urls:
            threading.Thread(target=self._ask, args=(url,), name=f"probe {url}", daemon=True).start()

    @property
    def stale(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() - self._started > PROBE_KEPT_SECONDS

    def result(self) -> bool:
        """Whether an address delivers; False too if none has answered 3 seconds after the start."""
        self._answered.wait(max(0.0, self._started + PROBE_SECONDS - time.monotonic()))
        return self._reachable

    def _ask(self, url: str) -> None:
        try:
            # The first byte alone: unlike HEAD, every server that has files knows GET.
            with (
                open_client(PROBE_SECONDS, PROBE_SECONDS) as client,
                client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response,
            ):
                delivers = response.is_success
        except (httpx.HTTPError, httpx.InvalidURL):
            delivers = False
        with self._lock:
            self._silent -= 1
            self._reachable = self._reachable or delivers
            if self._reachable or not self._silent:
                self._answered.set()
