from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.jobs.progress import WINDOW_SECONDS, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(), max_size=30))
def test_percent_never_goes_back_and_stays_below_100(fractions: list[float]) -> None:
    progress = Progress()
    seen = [0]
    for fraction in fractions:
        progress.report(fraction)
        seen.append(progress.percent)
    assert seen == sorted(seen)
    assert seen[-1] <= 99


def test_the_last_message_stands() -> None:
    progress = Progress()
    progress.report(0.1, "Reading")
    progress.report(0.2)
    assert progress.message == "Reading"
    progress.report(0.2, "Writing")
    assert progress.message == "Writing"


def test_nothing_is_estimated_before_anything_is_measured() -> None:
    progress = Progress(Clock())
    assert progress.eta() is None
    progress.report(0.5)  # No time has passed.
    assert progress.eta() is None


def test_eta_counts_down_between_reports() -> None:
    clock = Clock()
    progress = Progress(clock)
    clock.now = 10
    progress.report(0.25)
    assert progress.eta() == pytest.approx(30)
    clock.now = 20
    assert progress.eta() == pytest.approx(20)


def test_a_slow_start_is_forgotten() -> None:
    clock = Clock()
    progress = Progress(clock)
    clock.now = 600  # A model was downloaded.
    progress.report(0.1)
    for _ in range(50):
        clock.now += 1
        progress.report((clock.now - 600) / 100 + 0.1)
    assert clock.now - 600 > WINDOW_SECONDS
    assert progress.eta() == pytest.approx(40, abs=1)


def test_a_stall_does_not_show_zero_seconds_left() -> None:
    clock = Clock()
    progress = Progress(clock)
    clock.now = 9
    progress.report(0.9)
    assert progress.eta() == pytest.approx(1)
    clock.now = 99
    eta = progress.eta()
    assert eta is not None
    assert eta > 5
