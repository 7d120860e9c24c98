"""Presentation times of decoded frames: exactly the clip's own, as long as they are usable."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

_DEFAULT_RATE = Fraction(25)


class Timeline:
    """Gives every frame a time, in ticks, that is later than the one before.

    Frames without a time follow the one before at the clip's rate. A time that is not later is moved by one tick. When
    the clock jumps back by more than a second, as where MPEG streams were glued together, what follows is moved behind
    what came before.

    by_order: AVI stores frames in decoding order and no times for display, which libavformat then guesses: wrongly for
        H.264, late by one frame for MPEG-2 and MPEG-4. The sound, and players such as mpv, go by the order: the frames
        shown first to last take the times of the packets first to last.
    made_up, moved, jumps: how often that happened so far; see `Counts`.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None, *, by_order: bool) -> None:
        self._step = 1 / ((rate or _DEFAULT_RATE) * time_base)
        self._second = round(1 / time_base)
        self._by_order = by_order
        self._packet_times: deque[int | None] = deque()
        self._last: int | None = None
        self._known: Fraction | None = None
        self._offset = 0
        self.made_up = 0
        self.moved = 0
        self.jumps = 0

    def sent(self, packet: Packet[Any], *, frames: int, holds: int) -> None:
        """Tell of a packet that the decoder took, before the frames that it gave for it are placed.

        holds: how many frames the decoder may hold back. A packet for which it neither gives nor holds one, such as
        MPEG-4's "nothing changed", is not shown and keeps its time to itself.
        """
        if self._by_order and (frames or len(self._packet_times) < holds):
            self._packet_times.append(packet.dts)

    def place(self, frame: VideoFrame) -> int:
        """The time of the next frame that the decoder gave."""
        if self._by_order and self._packet_times:
            time = self._packet_times.popleft()
        else:
            time = frame.dts if frame.pts is None else frame.pts
        if time is None:
            # Counted on from the last time that was not rounded, so that the steps do not drift.
            self._known = Fraction(0) if self._known is None else self._known + self._step
            placed = round(self._known)
            self.made_up += 1
        else:
            placed = time + self._offset
            if self._last is not None and placed < self._last - self._second:
                self._offset += self._last + max(1, round(self._step)) - placed
                placed = time + self._offset
                self.jumps += 1
            self._known = Fraction(placed)
        if self._last is not None and placed <= self._last:
            placed = self._last + 1
            self.moved += 1
        self._last = placed
        return placed
