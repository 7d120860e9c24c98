"""Times of frames: the clip's own, strictly increasing."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

from hub.media.video.timeline import Timeline

MILLISECOND = Fraction(1, 1000)


def placed(timeline: Timeline, times: list[int | None]) -> list[int]:
    return [timeline.place(cast(Any, SimpleNamespace(pts=time, dts=None))) for time in times]


def test_good_times_stay() -> None:
    timeline = Timeline(MILLISECOND, Fraction(25), by_order=False)
    assert placed(timeline, [-70, -3, 0, 41, 1041]) == [-70, -3, 0, 41, 1041]
    assert (timeline.made_up, timeline.moved, timeline.jumps) == (0, 0, 0)


def test_missing_times_follow_the_rate_without_drift() -> None:
    timeline = Timeline(MILLISECOND, Fraction(30000, 1001), by_order=False)
    assert placed(timeline, [100, *[None] * 300])[-1] == 100 + 10010
    assert (timeline.made_up, timeline.moved, timeline.jumps) == (300, 0, 0)


def test_times_that_are_not_later_move_by_one_tick() -> None:
    timeline = Timeline(MILLISECOND, Fraction(25), by_order=False)
    assert placed(timeline, [0, 40, 40, 30, 80]) == [0, 40, 41, 42, 80]
    assert timeline.moved == 2


def test_after_the_clock_jumps_back_the_clip_goes_on() -> None:
    timeline = Timeline(MILLISECOND, Fraction(25), by_order=False)
    assert placed(timeline, [9000, 9040, 0, 40, 80]) == [9000, 9040, 9080, 9120, 9160]
    assert timeline.jumps == 1


def test_in_order_of_packets() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25), by_order=True)
    for dts in range(4):
        timeline.sent(cast(Any, SimpleNamespace(dts=dts)), frames=0, holds=16)
    assert placed(timeline, [1, 4, 3, 5]) == [0, 1, 2, 3]


def test_a_packet_that_shows_nothing_does_not_shift_what_follows() -> None:
    timeline = Timeline(Fraction(1, 25), Fraction(25), by_order=True)
    times = []
    for dts, frames in ((0, 0), (1, 1), (2, 0), (3, 1), (4, 1)):
        timeline.sent(cast(Any, SimpleNamespace(dts=dts)), frames=frames, holds=1)
        times += placed(timeline, [dts] * frames)
    assert [*times, *placed(timeline, [4])] == [0, 1, 3, 4]
