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


def test_a_stage_that_begins_is_measured_alone() -> None:
    clock = Clock()
    progress = Progress(clock)
    clock.now = 1
    progress.report(0.3, "Downloading")
    progress.begin(0.6, "Restoring")  # Most of it is there from an earlier run.
    assert (progress.percent, progress.message) == (60, "Restoring")
    assert progress.eta() is None
    clock.now = 11
    progress.report(0.7)
    assert progress.eta() == pytest.approx(30)
    progress.begin(0.2)
    assert progress.percent == 70
    clock.now = 21
    progress.report(0.8)
    assert progress.eta() == pytest.approx(20)


def test_steps_longer_than_the_window_are_averaged() -> None:
    """Frames of 40 s and 80 s in turn: the estimate follows their mean, not the last of them."""
    clock = Clock()
    progress = Progress(clock)
    for frame in range(1, 21):
        clock.now += 80 if frame % 2 else 40
        progress.report(frame / 100)
        eta = progress.eta()
        assert eta is not None
        if frame >= 4:
            assert eta == pytest.approx((100 - frame) * 60)


def test_a_new_speed_is_taken_up_within_the_window() -> None:
    clock = Clock()
    progress = Progress(clock)
    done = 0.0
    for seconds in [1.0] * 40 + [0.25] * 130:
        clock.now += seconds
        done += 1 / 400
        progress.report(done)
    assert progress.eta() == pytest.approx((1 - done) * 400 * 0.25)


def test_what_is_late_counts_as_slower() -> None:
    clock = Clock()
    progress = Progress(clock)
    for frame in range(1, 11):
        clock.now += 1
        progress.report(frame / 20)
    before = progress.eta()
    assert before == pytest.approx(10)
    seen = []
    for _ in range(60):
        clock.now += 1
        seen.append(progress.eta() or 0.0)
    assert seen[0] == pytest.approx(9)
    assert seen == sorted(seen)
    assert seen[-1] > 60


def test_details_are_those_told_last() -> None:
    progress = Progress()
    assert dict(progress.details) == {}
    told = {"frames_done": 3}
    progress.report(0.3, details=told)
    told["frames_done"] = 99
    progress.report(0.4, "On we go")
    assert dict(progress.details) == {"frames_done": 3}
    progress.report(0.4, details={"frames_done": 4})
    assert dict(progress.details) == {"frames_done": 4}


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
