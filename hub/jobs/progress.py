"""How far a running job is and how long it has to go; in memory only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any

WINDOW_SECONDS = 30.0  # Speed is measured over this long: what was slow at first must not haunt the estimate,
LEAST_STEPS = 4  # but over no fewer steps than this: on a slow machine one frame may take longer than the window.


class Progress:
    """Progress of one run, reported by its worker and read by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._samples: deque[tuple[float, float]] = deque([(clock(), 0.0)])
        self._message = ""
        self._details: Mapping[str, Any] = MappingProxyType({})

    def report(self, fraction: float, message: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Note that `fraction` (0 to 1) of the work is done; less than was reported before is ignored."""
        with self._lock:
            self._message = message or self._message
            if details is not None:
                self._details = MappingProxyType(dict(details))
            fraction = min(fraction, 1.0)
            if not fraction > self._samples[-1][1]:
                return
            now = self._clock()
            self._samples.append((now, fraction))
            while len(self._samples) > LEAST_STEPS + 1 and now - self._samples[1][0] >= WINDOW_SECONDS:
                self._samples.popleft()

    def begin(self, fraction: float, message: str = "") -> None:
        """As `report`, and measure the speed from here on alone."""
        self.report(fraction, message)
        with self._lock:
            done = self._samples[-1][1]
            self._samples.clear()
            self._samples.append((self._clock(), done))

    @property
    def percent(self) -> int:
        """Whole percent done; 100 is kept for the completed job."""
        with self._lock:
            return min(99, int(self._samples[-1][1] * 100))

    @property
    def message(self) -> str:
        """What the worker said last."""
        with self._lock:
            return self._message

    @property
    def details(self) -> Mapping[str, Any]:
        """The figures that the worker gave last; empty before."""
        with self._lock:
            return self._details

    def eta(self) -> float | None:
        """Seconds left at the measured speed; None before anything is measured."""
        with self._lock:
            (begun, before), (latest, done) = self._samples[0], self._samples[-1]
            steps = len(self._samples) - 1
            silence = self._clock() - latest
        span = latest - begun
        if span <= 0 or done <= before:
            return None
        pace = span / (done - before)  # Seconds for the whole of the work.
        # The next report is due after a step of the usual length. What it is late by is a measurement as well: the
        # work has slowed down by at least so much, and is hardly about to end.
        due = min(silence, span / steps, (1.0 - done) * pace)
        late = silence - due
        return max((1.0 - done) * pace * (span + late) / span - due, late)
