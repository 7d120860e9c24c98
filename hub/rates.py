"""How often callers come, counted in memory of a fixed size that nobody can make it forget."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from array import array
from collections.abc import Collection, Sequence
from operator import itemgetter

from limits import RateLimitItem

from hub.errors import TooManyRequests

PLACES = 1 << 17
"""Counters that callers without a name of their own share: two of them are one caller by a chance of 1 in so many."""


class Rates:
    """Counts requests against limits, each of which every caller has for himself. Any thread may call.

    Strangers are kept apart by a secret hash, not in a list, because a list would have to grow without bound or
    forget: then who comes from many addresses could make it forget himself, or everybody else.
    """

    def __init__(self, limits: Sequence[RateLimitItem], named: Collection[str] = ()) -> None:
        """named: callers that share their counters with nobody."""
        self._named = {caller: PLACES + number for number, caller in enumerate(dict.fromkeys(named))}
        self._meters = [_Meter(limit, PLACES + len(self._named)) for limit in limits]
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()

    def count(self, caller: str) -> None:
        """Count one request. Raises TooManyRequests when it is one too many; it then counts for nothing."""
        if not self._meters:
            return
        now = time.monotonic()
        place = self._place(caller)
        with self._lock:
            wait, limit = max(((meter.wait(place, now), meter.limit) for meter in self._meters), key=itemgetter(0))
            if wait > 0:
                seconds = math.ceil(wait)
                raise TooManyRequests(
                    f"At most {limit} are answered; please try again in {seconds} s.", retry_after=seconds
                )
            for meter in self._meters:
                meter.hit(place)

    def _place(self, caller: str) -> int:
        place = self._named.get(caller)
        if place is None:
            digest = hashlib.blake2b(caller.encode(), digest_size=8, key=self._secret).digest()
            place = int.from_bytes(digest) % PLACES
        return place


class _Meter:
    """One limit: for each place a window that begins with the first request, and what the one before it held.

    The window before counts for the part of it that is less than a period ago, as if its requests had come evenly.
    """

    def __init__(self, limit: RateLimitItem, places: int) -> None:
        self.limit = limit
        self._period = float(limit.get_expiry())
        self._begun = array("d", [-math.inf]) * places
        self._now = array("Q", [0]) * places
        self._before = array("Q", [0]) * places

    def wait(self, place: int, now: float) -> float:
        """Seconds until one more request is within the limit; 0 if it is now."""
        elapsed = now - self._begun[place]
        if elapsed >= self._period:
            passed = elapsed < 2 * self._period
            self._before[place] = self._now[place] if passed else 0
            self._now[place] = 0
            self._begun[place] = self._begun[place] + self._period if passed else now
            elapsed = now - self._begun[place]
        room, before = self.limit.amount - self._now[place], self._before[place]
        if room <= 0:
            return self._period - elapsed
        return max(0.0, self._period * (1 - room / before) - elapsed) if before else 0.0

    def hit(self, place: int) -> None:
        """Count a request at the time of the last `wait`."""
        self._now[place] += 1
