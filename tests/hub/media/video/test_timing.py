from __future__ import annotations

from fractions import Fraction

import pytest

from hub.media.video.timing import DecodingTimes, Window, choose_window, durations, movie_timescale

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
ZERO = Fraction(0)


def test_decoding_times_rise_and_are_never_late() -> None:
    shown = [0, 400, 200, 100, 300, 500, 900, 700, 600, 800]
    times = DecodingTimes(0, 2, 100)
    decoded = [times.next(pts) for pts in shown]
    assert decoded == [-200, -100, 0, 100, 200, 300, 400, 500, 600, 700]
    assert all(dts <= pts for dts, pts in zip(decoded, shown, strict=True))


def test_without_reordering_a_frame_is_decoded_when_it_is_shown() -> None:
    times = DecodingTimes(7, 0, 100)
    assert [times.next(pts) for pts in (7, 9, 400)] == [7, 9, 400]


def test_more_reordering_than_was_said_is_an_error() -> None:
    times = DecodingTimes(0, 1, 100)
    assert [times.next(pts) for pts in (0, 400, 200)] == [-100, 0, 200]
    with pytest.raises(ValueError, match="coded later"):
        times.next(100)


def test_durations_reach_to_the_next_frame_shown() -> None:
    assert durations([0, 400, 100], 450) == {0: 100, 100: 300, 400: 50}


@pytest.mark.parametrize(
    ("container", "first", "starts", "shift"),
    [
        (MP4, Fraction(5), [Fraction(5)], ZERO),
        (MP4, Fraction(-1, 5), [ZERO], Fraction(1, 5)),
        (MP4, ZERO, [Fraction(-1024, 48000)], ZERO),
        (MP4, Fraction(3600), [], ZERO),
        ("mpegts", Fraction(3600), [Fraction(3599)], Fraction(-3599)),
        ("mpegts", Fraction(7, 5), [Fraction(7, 5)], ZERO),
    ],
)
def test_times_are_moved_only_where_they_must(
    container: str, first: Fraction, starts: list[Fraction], shift: Fraction
) -> None:
    window, notes = choose_window(container, first, first + 10, starts, (None, None))
    assert window == Window(None, None, shift)
    assert bool(notes) == bool(shift)


def test_a_cut_begins_at_its_first_frame() -> None:
    window, notes = choose_window(MP4, Fraction(52, 100), Fraction(3), [ZERO], (0.5, None))
    assert window == Window(Fraction(52, 100), None, Fraction(-52, 100))
    assert window.cuts
    assert notes == ()


@pytest.mark.parametrize(
    ("container", "first", "shift"),
    [(MP4, Fraction(1), ZERO), (MP4, Fraction(-1, 5), Fraction(1, 5)), ("mpegts", Fraction(3600), Fraction(-3599))],
)
def test_an_end_alone_moves_no_more_than_no_cut(container: str, first: Fraction, shift: Fraction) -> None:
    starts = [min(first, Fraction(3599))]
    uncut, notes = choose_window(container, first, first + 2, starts, (None, None))
    window, same_notes = choose_window(container, first, first + 2, starts, (None, 3601))
    assert window == Window(None, first + 2, shift)
    assert (window.shift, same_notes) == (uncut.shift, notes)


def test_late_starts_are_stated_exactly() -> None:
    assert movie_timescale([ZERO, Fraction(1, 2), Fraction(-1, 48000)]) == 1000
    assert movie_timescale([Fraction(1001, 30000), Fraction(256, 11025)]) % 30000 == 0
    assert movie_timescale([Fraction(256, 11025)]) % 11025 == 0
