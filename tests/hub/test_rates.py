from __future__ import annotations

import time
import tracemalloc

import pytest
from limits import parse_many

from hub import rates
from hub.errors import TooManyRequests
from hub.rates import Rates


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def admits(counted: Rates, caller: str) -> bool:
    try:
        counted.count(caller)
    except TooManyRequests:
        return False
    return True


def test_whoever_comes_steadily_gets_in_as_often_as_the_limit_says(clock: Clock) -> None:
    """Three times too often for ten minutes; in no minute of the clock are more than 10 answered."""
    counted = Rates(parse_many("10/minute"))
    answered = []
    for _ in range(300):
        answered.append(admits(counted, "somebody"))
        clock.now += 2

    minutes = [sum(answered[start : start + 30]) for start in range(0, 300, 30)]
    assert minutes[0] == 10
    assert all(9 <= number <= 10 for number in minutes[1:])


def test_whoever_waits_as_told_gets_in(clock: Clock) -> None:
    counted = Rates(parse_many("7/minute;40/hour"))
    for number in range(300):
        try:
            counted.count("somebody")
        except TooManyRequests as error:
            clock.now += error.retry_after - 1.5
            assert not admits(counted, "somebody")
            clock.now += 1.6
            assert admits(counted, "somebody")
        clock.now += 0.1 * (37 * number % 80)


def test_after_a_silence_all_is_forgotten(clock: Clock) -> None:
    counted = Rates(parse_many("3/minute"))
    assert [admits(counted, "somebody") for _ in range(4)] == [True, True, True, False]
    clock.now += 121
    assert [admits(counted, "somebody") for _ in range(4)] == [True, True, True, False]


def test_nobody_makes_it_forget(clock: Clock) -> None:
    """However many others come, who was refused stays refused."""
    counted = Rates(parse_many("3/hour"))
    for _ in range(3):
        counted.count("somebody")
    for number in range(20_000):
        admits(counted, f"other {number}")

    assert not admits(counted, "somebody")


def test_memory_does_not_grow(clock: Clock) -> None:
    counted = Rates(parse_many("100000/day"))
    tracemalloc.start()
    try:
        for number in range(5_000):
            counted.count(f"{number}")
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


def test_who_has_a_name_shares_his_counter_with_nobody(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PLACES", 2)
    counted = Rates(parse_many("5/hour"), ["alice", "bob"])
    for number in range(100):
        admits(counted, f"{number}")
    assert not admits(counted, "anybody")
    assert [admits(counted, "alice") for _ in range(6)] == [True] * 5 + [False]
    assert admits(counted, "bob")
