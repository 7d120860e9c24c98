from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from hub.errors import InvalidInput
from hub.media.video.clip import ClipInfo
from hub.video.options import VideoOptions
from hub.video.selection import chosen_frames, chosen_seconds, chosen_ticks

CLIP = ClipInfo(
    container="matroska,webm",
    stream=0,
    codec="h264",
    width=128,
    height=96,
    channels=3,
    bit_depth=8,
    pixel_format="yuv420p",
    time_base=Fraction(1, 1000),
    start=Fraction(0),
    seconds=10.0,
    frames=250,
    rate=Fraction(25),
)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"strength": 1.5}, "invalid_strength"),
        ({"strength": float("nan")}, "invalid_strength"),
        ({"codec": "mpeg1"}, "unknown_codec"),
        ({"quality": 64}, "invalid_quality"),
        ({"quality": -1}, "invalid_quality"),
        ({"start": float("inf")}, "invalid_range"),
        ({"end": float("nan")}, "invalid_range"),
        ({"start": 3.0, "end": 3.0}, "invalid_range"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        VideoOptions(**wrong).check()
    assert refused.value.code == code


def test_smoothing_is_on_for_denoise_unless_chosen() -> None:
    assert VideoOptions().smooths
    assert not VideoOptions(task_type="deblur").smooths
    assert VideoOptions(task_type="deblur", temporal=True).smooths
    assert not VideoOptions(temporal=False).smooths


def test_a_spec_survives_its_row_and_ignores_what_it_does_not_know() -> None:
    options = VideoOptions(codec="av1", start=1.5, temporal=False)
    assert VideoOptions.from_spec({**options.to_spec(), "of_a_later_version": 1}) == options


def test_the_range_takes_frames_from_start_on_and_before_end() -> None:
    ticks = chosen_ticks(replace(CLIP, time_base=Fraction(1, 30)), VideoOptions(start=0.1, end=0.2))
    assert ticks == (3, 6)
    assert chosen_ticks(CLIP, VideoOptions()) == (None, None)
    assert chosen_ticks(CLIP, VideoOptions(start=2, end=4)) == (2000, 4000)


def test_a_broadcast_clock_counts_from_where_it_begins() -> None:
    stream = replace(CLIP, container="mpegts", start=Fraction(36_000), time_base=Fraction(1, 90_000))
    assert chosen_ticks(stream, VideoOptions(start=1, end=2)) == (36_001 * 90_000, 36_002 * 90_000)
    early = replace(stream, start=Fraction(7, 5))
    assert chosen_ticks(early, VideoOptions(start=2)) == (180_000, None)


@pytest.mark.parametrize("options", [VideoOptions(start=10), VideoOptions(end=0), VideoOptions(start=-5, end=-1)])
def test_a_range_outside_the_clip_is_refused_with_what_there_is(options: VideoOptions) -> None:
    with pytest.raises(InvalidInput) as refused:
        chosen_ticks(CLIP, options)
    assert refused.value.code == "invalid_range"
    assert refused.value.data == {"first": 0.0, "last": 10.0}


def test_the_range_scales_what_is_expected() -> None:
    assert chosen_frames(CLIP, VideoOptions()) == 250
    assert chosen_frames(CLIP, VideoOptions(start=2, end=4)) == 50
    assert chosen_seconds(CLIP, VideoOptions(start=8, end=40)) == pytest.approx(2)
    unknown = replace(CLIP, seconds=None, frames=None)
    assert chosen_frames(unknown, VideoOptions(start=2)) is None
    assert chosen_seconds(unknown, VideoOptions()) is None
