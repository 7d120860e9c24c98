"""When things happen in the result: which part of the input is kept, and by how much its times are moved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappushpop
from math import lcm
from typing import Any

# MPEG streams run on a clock that starts anywhere; up to here it may be meant.
_CLOCK_SECONDS = 10
_MPEG = ("mpegts", "mpeg")
_GREATEST_TIMESCALE = (1 << 31) - 1
_MILLISECONDS = 1000


@dataclass(frozen=True)
class Window:
    """The part of the input that is kept, and where it goes. Seconds; None: no bound.

    shift: added to all times of the input.
    """

    begin: Fraction | None
    end: Fraction | None
    shift: Fraction

    @property
    def cuts(self) -> bool:
        """Whether anything is left out."""
        return self.begin is not None or self.end is not None

    def shift_ticks(self, time_base: Fraction) -> int:
        """The shift in ticks of a stream's clock, to the nearest."""
        return round(self.shift / time_base)


def choose_window(
    container: str, first: Fraction, last: Fraction, starts: Sequence[Fraction], bounds: tuple[Any, Any]
) -> tuple[Window, tuple[str, ...]]:
    """The window of a result, and what a person should know about it.

    A start makes its first frame time 0. Otherwise times stay as they are, with an end too, where the result can hold
    them.

    container: FFmpeg's name of the input's format. first, last: when the restored frames begin and end.
    starts: when the input's streams begin. bounds: the start and the end that were asked for, None where there is none.
    """
    start, end = bounds
    until = None if end is None else last
    if start is not None:
        return Window(first, until, -first), ()
    earliest = min([first, *starts])
    if container in _MPEG and earliest > _CLOCK_SECONDS:
        note = f"The clip's clock begins at {float(earliest):.3f} s; the result's begins at 0."
        return Window(None, until, -earliest), (note,)
    if first < 0:
        note = (
            f"The clip begins {float(-first):.3f} s before time 0, which players cut off; all was moved to begin at 0."
        )
        return Window(None, until, -first), (note,)
    return Window(None, until, Fraction(0)), ()


def movie_timescale(starts: Sequence[Fraction]) -> int:
    """Ticks per second in which MP4 states exactly how late each stream begins; milliseconds where they do."""
    scale = _MILLISECONDS
    for start in starts:
        if start > 0 and lcm(scale, start.denominator) <= _GREATEST_TIMESCALE:
            scale = lcm(scale, start.denominator)
    return scale


class DecodingTimes:
    """Gives packets, in the order of coding, the decoding times that go with their presentation times.

    The time of packet i is the presentation time of the frame shown `reorder` places earlier; before the first frame
    they are counted back by `step`. So they rise from packet to packet, also where segments meet, and are never later
    than the packet is shown.
    """

    def __init__(self, first: int, reorder: int, step: int) -> None:
        self._waiting = [first - (reorder - place) * step for place in range(reorder)]
        self._last: int | None = None

    def next(self, pts: int) -> int:
        """The decoding time of the next packet."""
        dts = heappushpop(self._waiting, pts)
        if self._last is not None and dts <= self._last:
            raise ValueError(f"the frame at {pts} is coded later than its segment says")
        self._last = dts
        return dts


def durations(times: Iterable[int], end: int) -> dict[int, int]:
    """How long each frame is shown, by its presentation time; the last until `end`."""
    ordered = sorted(times)
    return {time: later - time for time, later in zip(ordered, [*ordered[1:], end], strict=True)}
