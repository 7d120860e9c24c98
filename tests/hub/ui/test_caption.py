from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from hub.media.video.clip import ClipInfo, Colour
from hub.ui.caption import clip_caption
from hub.ui.frames import Span

CLIP = ClipInfo(
    container="mov,mp4,m4a,3gp,3g2,mj2",
    stream=0,
    codec="hevc",
    width=1920,
    height=1080,
    channels=3,
    bit_depth=8,
    pixel_format="yuv420p",
    time_base=Fraction(1, 30_000),
    start=Fraction(0),
    seconds=30.2,
    frames=905,
    rate=Fraction(30_000, 1001),
)


def test_a_clip_in_a_few_words() -> None:
    size = "1920 \u00d7 1080"
    assert clip_caption(CLIP) == f"{size} · 30.2 s · 29.97 fps · H.265 · no sound"
    deep = replace(CLIP, bit_depth=10, colour=Colour(9, 16, 9, 1), audio_streams=2, seconds=725.0, rate=Fraction(24))
    assert clip_caption(deep) == f"{size} · 12 min · 24 fps · H.265 · 10-bit · HDR · 2 sound streams"
    assert clip_caption(replace(CLIP, codec="cinepak", seconds=None, rate=None)) == f"{size} · CINEPAK · no sound"


def test_the_times_that_can_be_looked_at() -> None:
    span = Span.of(replace(CLIP, start=Fraction(1), rate=Fraction(10)))
    assert (span.first, span.last) == (1.0, pytest.approx(31.1))
    assert span.telling == pytest.approx(4.01)
    assert [span.clamp(at) for at in (0.0, 5.0, 99.0)] == [1.0, 5.0, span.last]

    broadcast = Span.of(replace(CLIP, container="mpegts", start=Fraction(36_000)))
    assert broadcast.first == 0.0
    still = Span.of(replace(CLIP, seconds=None))
    assert (still.first, still.last, still.telling) == (0.0, 0.0, 0.0)
