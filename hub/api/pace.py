"""How much a socket may send: more is read more slowly, so that reading it keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import time

BURST_SECONDS = 1.0
MESSAGE_BYTES = 1 << 14
"""What a message counts beside its own bytes, for the smallest one takes time, too."""


class Pace:
    """Keeps a client to so many bytes per second, after a second's worth at once."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._due = 0.0

    async def keep(self, size: int) -> None:
        """Wait after a message of `size` bytes until the next one may be read."""
        now = time.monotonic()
        self._due = max(self._due, now - BURST_SECONDS) + (size + MESSAGE_BYTES) / self._rate
        if self._due > now:
            await asyncio.sleep(self._due - now)
