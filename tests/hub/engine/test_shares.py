"""Who gets how much of the accelerator; the tests spend milliseconds, no clock does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.engine.shares import Priority, Shares

LIVE, IMAGE, VIDEO = Priority


def spend(shares: Shares, costs: dict[Priority, float], milliseconds: float) -> list[tuple[Priority, float]]:
    """Let priorities that always have something waiting compete; returns who was served when, in milliseconds."""
    turns, now = [], 0.0
    while now < milliseconds:
        priority = shares.choose(costs)
        turns.append((priority, now))
        shares.charge(priority, costs[priority], costs)
        now += costs[priority]
    return turns


def parts(turns: Collection[tuple[Priority, float]], costs: dict[Priority, float]) -> dict[Priority, float]:
    """Each priority's part of the time."""
    served = Counter(priority for priority, _ in turns)
    total = sum(served[priority] * cost for priority, cost in costs.items())
    return {priority: served[priority] * cost / total for priority, cost in costs.items()}


def test_the_most_urgent_goes_first() -> None:
    shares = Shares()
    assert shares.choose([VIDEO, LIVE, IMAGE]) is LIVE
    assert shares.choose([VIDEO, IMAGE]) is IMAGE
    assert shares.choose([VIDEO]) is VIDEO


@pytest.mark.parametrize("video_ms", [20.0, 1200.0])
def test_video_gets_a_fifth_however_long_its_pieces_are(video_ms: float) -> None:
    costs = {LIVE: 200.0, VIDEO: video_ms}
    assert parts(spend(Shares(), costs, 100_000), costs)[VIDEO] == pytest.approx(0.2, abs=0.02)


def test_photos_and_videos_share_what_live_clients_leave() -> None:
    costs = {LIVE: 200.0, IMAGE: 20.0, VIDEO: 20.0}
    share = parts(spend(Shares(), costs, 200_000), costs)
    assert share[LIVE] == pytest.approx(0.8, abs=0.02)
    assert share[IMAGE] == pytest.approx(0.16, abs=0.02)
    assert share[VIDEO] == pytest.approx(0.04, abs=0.01)


def test_a_live_frame_waits_for_about_its_quarter() -> None:
    costs = {LIVE: 200.0, VIDEO: 20.0}
    turns = spend(Shares(), costs, 20_000)
    starts = [now for priority, now in turns if priority is LIVE]
    assert max(after - before for before, after in pairwise(starts)) <= 200 + 200 / 4 + 20


def test_the_first_second_belongs_to_the_more_urgent() -> None:
    turns = spend(Shares(), {IMAGE: 50.0, VIDEO: 50.0}, 3000)
    assert next(now for priority, now in turns if priority is VIDEO) == pytest.approx(1000, abs=100)


def test_whoever_was_idle_has_saved_nothing() -> None:
    shares = Shares()
    shares.charge(VIDEO, 60_000, [VIDEO])
    costs = {LIVE: 100.0, VIDEO: 20.0}
    turns = spend(shares, costs, 1500)
    assert any(priority is VIDEO for priority, _ in turns), "an hour alone is not held against it"
    shares.charge(LIVE, 60_000, [LIVE])
    assert spend(shares, costs, 900)[-1][0] is LIVE, "nor has it a right to an hour for not having been there"


@settings(max_examples=30, deadline=None)
@given(
    costs=st.fixed_dictionaries({priority: st.floats(50, 2000) for priority in Priority}),
    waits=st.lists(st.sets(st.sampled_from(Priority), min_size=1), min_size=1, max_size=60),
)
def test_one_who_waits_is_chosen_and_nobody_waits_for_ever(
    costs: dict[Priority, float], waits: list[set[Priority]]
) -> None:
    shares = Shares()
    for waiting in waits:
        priority = shares.choose(waiting)
        assert priority in waiting
        shares.charge(priority, costs[priority], waiting)
    assert {priority for priority, _ in spend(shares, costs, 150_000)} == set(Priority)
