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
    assert timeline.notes == []


def test_missing_times_follow_the_rate_without_drift() -> None:
    timeline = Timeline(MILLISECOND, Fraction(30000, 1001), by_order=False)
    assert placed(timeline, [100, *[None] * 300])[-1] == 100 + 10010
    assert len(timeline.notes) == 1
    assert "300" in timeline.notes[0]


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
        timeline.sent(cast(Any, SimpleNamespace(dts=dts)))
    assert placed(timeline, [1, 4, 3, 5]) == [0, 1, 2, 3]
