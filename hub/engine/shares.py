"""How the accelerator's time is divided between priorities: pure arithmetic, without clocks."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum


class Priority(IntEnum):
    """Whose tiles go first: a lower number is more urgent."""

    LIVE = 0
    IMAGE = 1
    VIDEO = 2


class Shares:
    """Who goes next: the most urgent, but whoever is less urgent gets a fifth of the time that both compete for.

    Without that, live clients that always have a frame waiting would keep photos and videos out for ever. More than a
    fifth would be felt by the live ones, and a job at a fifth of its speed still ends. Below a share the rule is the
    same: of what live clients leave, photos leave a fifth to videos.

    A debt is kept for each priority: the milliseconds that it owes to all that are less urgent. It grows by a quarter
    of what the priority computes while they wait, and falls by all that they compute; above nought it is their turn.
    Where nobody competes it returns to PATIENCE_MS below nought, so that a single frame or a small photo does not give
    way at all, and nobody saves up rights by having been idle.
    """

    LESS_URGENT = 0.2
    PATIENCE_MS = 250.0

    def __init__(self) -> None:
        self._owed = dict.fromkeys(Priority, -self.PATIENCE_MS)

    def choose(self, waiting: Collection[Priority]) -> Priority:
        """Whose turn it is among those that wait; there must be one."""
        ordered = sorted(waiting)
        for priority in ordered[:-1]:
            if self._owed[priority] <= 0:
                return priority
        return ordered[-1]

    def charge(self, priority: Priority, milliseconds: float, waiting: Collection[Priority]) -> None:
        """Note what tiles of `priority` took, and who waited meanwhile."""
        earned = milliseconds * self.LESS_URGENT / (1 - self.LESS_URGENT)
        owed = self._owed[priority]
        if any(other > priority for other in waiting):
            self._owed[priority] = owed + earned
        elif owed > -self.PATIENCE_MS:
            self._owed[priority] = max(owed - earned, -self.PATIENCE_MS)
        else:
            self._owed[priority] = min(owed + earned, -self.PATIENCE_MS)
        for other in Priority:
            if other < priority:
                left = self._owed[other] - milliseconds
                self._owed[other] = left if other in waiting else max(left, -self.PATIENCE_MS)
