"""Where sockets wait whose client has not said yet who he is: few, and few from one address."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hub.errors import Busy

MOST = 64
MOST_OF_ONE = 8


class Lobby:
    """Counts those who wait; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, visitor: str) -> Iterator[None]:
        """A place for one socket of a visitor while the context lasts; raises Busy (`lobby_full`)."""
        with self._lock:
            if self._waiting.total() >= MOST or self._waiting[visitor] >= MOST_OF_ONE:
                raise Busy(
                    "lobby_full", "Too many live sockets wait for a key; please send it with the upgrade request."
                )
            self._waiting[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[visitor] -= 1
                self._waiting += Counter()  # Forgets those of whom nobody waits.
