"""How far a running job is and how long it has to go; in memory only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

WINDOW_SECONDS = 30.0  # Speed is measured over this long: loading a model at the start must not haunt the estimate.


class Progress:
    """Progress of one run, reported by its worker and read by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._samples: deque[tuple[float, float]] = deque([(clock(), 0.0)])
        self._message = ""

    def report(self, fraction: float, message: str = "") -> None:
        """Note that `fraction` (0 to 1) of the work is done; less than was reported before is ignored."""
        with self._lock:
            self._message = message or self._message
            fraction = min(fraction, 1.0)
            if not fraction > self._samples[-1][1]:
                return
            now = self._clock()
            self._samples.append((now, fraction))
            while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_SECONDS:
                self._samples.popleft()

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

    def eta(self) -> float | None:
        """Seconds left at the measured speed; None before anything is measured."""
        with self._lock:
            (begun, before), (latest, done) = self._samples[0], self._samples[-1]
            silence = self._clock() - latest
        span = latest - begun
        if span <= 0 or done <= before:
            return None
        left = (1.0 - done) * span / (done - before)
        if silence < left:
            return left - silence
        # Nothing came for as long as all the rest should have taken: the silence itself is a measurement.
        return left * (span + silence) / span
