"""The one moment from which the hub stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopping:
    """Begins once, said by any thread; coroutines of any event loop can have themselves called then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._callbacks: dict[object, tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = {}

    @property
    def begun(self) -> bool:
        """Whether the hub stops."""
        return self._since is not None

    def left(self, seconds: float) -> float:
        """What is left of so many seconds, counted from the moment when stopping began; never below 0."""
        return seconds if self._since is None else max(0.0, self._since + seconds - time.monotonic())

    def begin(self) -> None:
        """Say so to everyone; does nothing the second time."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
            callbacks, self._callbacks = self._callbacks, {}
        for loop, callback in callbacks.values():
            if not loop.is_closed():
                loop.call_soon_threadsafe(callback)

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Have `callback` called in this event loop if stopping begins while the block lasts; not if it has begun."""
        ticket = object()
        with self._lock:
            if self._since is None:
                self._callbacks[ticket] = (asyncio.get_running_loop(), callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(ticket, None)
