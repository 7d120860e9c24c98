from __future__ import annotations

import pytest

from hub.errors import InvalidInput
from hub.ui.clip_settings import seconds_of
from hub.ui.forecast import clock, estimate_words, range_words
from hub.ui.frames import Span
from hub.ui.language import speaking
from hub.video.estimate import Estimate

SPAN = Span(0.0, 59.96, 1.0, 0.04)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00"), (7.25, "0:07.25"), (59.999, "1:00"), (83.5, "1:23.50"), (3723, "1:02:03")]
)
def test_times_are_written_as_they_are_read(seconds: float, words: str) -> None:
    assert clock(seconds) == words
    assert seconds_of(words) == pytest.approx(seconds, abs=0.01)


def test_times_have_the_decimal_sign_of_the_language() -> None:
    with speaking("de"):
        assert clock(7.25) == "0:07,25"
        assert seconds_of(clock(7.25)) == 7.25


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (None, None, "The whole clip is restored: 1 min."),
        (0.0, 90.0, "The whole clip is restored: 1 min."),
        (10.0, None, "From 0:10 to 1:00 is restored: 50.0 s."),
        (10.0, 12.5, "From 0:10 to 0:12.50 is restored: 2.5 s."),
    ],
)
def test_the_chosen_part_is_told(start: float | None, end: float | None, words: str) -> None:
    assert words in range_words(SPAN, start, end)


@pytest.mark.parametrize(("start", "end"), [(60.0, None), (None, 0.0), (20.0, 20.0), (30.0, 10.0)])
def test_no_part_at_all_is_told_too(start: float | None, end: float | None) -> None:
    with pytest.raises(InvalidInput, match="lasts from 0:00 to 1:00"):
        range_words(SPAN, start, end)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(187.3, 12_345_678), "Takes about 3 min 10 s on this machine. The result has about 12.0 MB."),
        (Estimate(0.2, 100), "Takes about 1 s on this machine. The result has about 1 kB."),
        (Estimate(187.3, 2_345_678, rough=True), "Takes very roughly 3 min on this machine."),
        (Estimate(7260, 2_345_678, rough=True), "very roughly 1 h 40 min on"),
        (Estimate(17.8, 2_345_678, rough=True), "very roughly 20 s on"),
        (Estimate(None, 2_345_678), "How long it takes will be known once it runs. The result has about 2.3 MB."),
        (Estimate(18, None), "Takes about 18 s on this machine. How large the result will be could not be estimated"),
    ],
)
def test_estimates_are_no_more_exact_than_they_are(estimate: Estimate, words: str) -> None:
    assert words in estimate_words(estimate)
