from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from hub.errors import InvalidInput
from hub.media.video.clip import ClipInfo, Colour
from hub.media.video.codecs import EncodePlan, needed_bytes, plan_encoding

CODECS = ("h264", "h265", "av1", "vp9", "prores", "lossless")
MASTERING = {
    "master-display": "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
    "max-cll": "1000,400",
}
CLIP = ClipInfo(
    container="mov,mp4,m4a,3gp,3g2,mj2",
    stream=0,
    codec="h264",
    width=1280,
    height=720,
    channels=3,
    bit_depth=8,
    pixel_format="yuv420p",
    time_base=Fraction(1, 90000),
    start=Fraction(0),
    seconds=10.0,
    frames=300,
    rate=Fraction(30000, 1001),
)
HDR = replace(CLIP, bit_depth=10, pixel_format="yuv420p10le", colour=Colour(9, 16, 9, 1), mastering=MASTERING)
RGBA = replace(CLIP, channels=4, pixel_format="bgra", colour=Colour(matrix=0, range=2))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("clip", [CLIP, HDR, RGBA])
def test_a_plan_survives_json(codec: str, clip: ClipInfo) -> None:
    plan = plan_encoding(clip, codec, 18)
    assert EncodePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_h264_is_what_browsers_play() -> None:
    plan = plan_encoding(CLIP, "h264", 18)
    assert (plan.pixel_format, plan.container, plan.suffix) == ("yuv420p", "mp4", ".mp4")
    assert plan.options["profile"] == "high"
    assert plan.notes == ()


def test_h264_says_what_it_gives_up() -> None:
    (depth,) = plan_encoding(HDR, "h264", 18).notes
    assert "8 of the clip's 10 bits (HDR)" in depth
    assert "h265" in depth
    transparency, colour = plan_encoding(RGBA, "h264", 18).notes
    assert "transparency" in transparency
    assert "prores" in transparency
    assert "4:2:0" in colour


@pytest.mark.parametrize(
    ("codec", "clip", "pixel_format"),
    [
        ("h265", HDR, "yuv420p10le"),
        ("h265", CLIP, "yuv420p"),
        ("av1", HDR, "yuv420p10le"),
        ("vp9", HDR, "yuv420p"),
        ("prores", HDR, "yuv422p10le"),
        ("prores", RGBA, "yuva444p10le"),
        ("prores", replace(CLIP, pixel_format="yuv444p"), "yuv444p10le"),
        ("lossless", CLIP, "bgr0"),
        ("lossless", HDR, "gbrp10le"),
        ("lossless", RGBA, "bgra"),
        ("lossless", replace(CLIP, channels=1, pixel_format="gray"), "gray"),
        ("lossless", replace(CLIP, channels=2, bit_depth=16, pixel_format="ya16le"), "gbrap16le"),
    ],
)
def test_pixel_formats_follow_the_clip(codec: str, clip: ClipInfo, pixel_format: str) -> None:
    assert plan_encoding(clip, codec, 18).pixel_format == pixel_format


@pytest.mark.parametrize(
    ("quality", "x264", "av1"), [(0, "1", "1"), (18, "18", "22"), (51, "51", "63"), (63, "51", "63")]
)
def test_quality_has_one_scale_for_all_codecs(quality: int, x264: str, av1: str) -> None:
    assert plan_encoding(CLIP, "h264", quality).options["crf"] == x264
    assert plan_encoding(CLIP, "h265", quality).options["crf"] == x264
    assert plan_encoding(CLIP, "av1", quality).options["crf"] == av1
    assert plan_encoding(CLIP, "vp9", quality).options["crf"] == av1


def test_hdr_metadata_reaches_the_encoders() -> None:
    x265 = plan_encoding(HDR, "h265", 18).options["x265-params"]
    assert f"master-display={MASTERING['master-display']}" in x265
    assert "max-cll=1000,400" in x265
    svt = plan_encoding(HDR, "av1", 18).options["svtav1-params"]
    assert "G(0.26500,0.69000)" in svt
    assert "L(1000.0000,0.0050)" in svt


@pytest.mark.parametrize(("codec", "size"), [("h264", (130, 98)), ("av1", (129, 97)), ("lossless", (129, 97))])
def test_odd_sizes_are_padded_only_where_they_must(codec: str, size: tuple[int, int]) -> None:
    plan = plan_encoding(replace(CLIP, width=129, height=97), codec, 18)
    assert (plan.width, plan.height) == size
    assert any("edge was repeated" in note for note in plan.notes) == (size != (129, 97))


def test_a_picture_beyond_the_encoder_names_other_codecs() -> None:
    with pytest.raises(InvalidInput, match="vp9, prores or lossless") as caught:
        plan_encoding(replace(CLIP, width=20000), "h264", 18)
    assert caught.value.code == "picture_too_large"
    assert plan_encoding(replace(CLIP, width=20000), "vp9", 18).width == 20000


@pytest.mark.parametrize(
    ("time_base", "aspect", "container"),
    [
        (Fraction(1, 1000), Fraction(1), "matroska"),
        (Fraction(1, 25), Fraction(1), "matroska"),
        (Fraction(1, 90000), Fraction(1), "mp4"),
        (Fraction(1, 1000), Fraction(4, 3), "mp4"),
    ],
)
def test_lossless_goes_to_matroska_only_where_that_is_exact(
    time_base: Fraction, aspect: Fraction, container: str
) -> None:
    assert plan_encoding(replace(CLIP, time_base=time_base, aspect=aspect), "lossless", 18).container == container


def test_what_the_clip_leaves_open_stays_open() -> None:
    assert plan_encoding(CLIP, "h264", 18).colour == Colour(2, 2, 2, 0)
    assert plan_encoding(CLIP, "h264", 18).matrix == "bt709"
    assert plan_encoding(replace(CLIP, width=640, height=480), "h264", 18).matrix == "smpte170m"


@pytest.mark.parametrize(
    ("colour", "codec", "tags", "picture_range"),
    [
        (Colour(1, 1, 1, 2), "h264", Colour(1, 1, 1, 2), "pc"),
        (Colour(1, 1, 1, 2), "prores", Colour(1, 1, 1, 1), "tv"),
        (Colour(9, 18, 9, 1), "h265", Colour(9, 18, 9, 1), "tv"),
        (Colour(1, 1, 8, 1), "h264", Colour(1, 1, 1, 1), "tv"),
        (Colour(1, 13, 1, 1), "lossless", Colour(1, 13, 0, 2), "pc"),
    ],
)
def test_colour_tags_say_what_is_stored(colour: Colour, codec: str, tags: Colour, picture_range: str) -> None:
    plan = plan_encoding(replace(CLIP, colour=colour), codec, 18)
    assert (plan.colour, plan.picture_range) == (tags, picture_range)


def test_rgb_becomes_yuv_that_says_how() -> None:
    plan = plan_encoding(RGBA, "h264", 18)
    assert (plan.matrix, plan.picture_range, plan.colour) == ("bt709", "tv", Colour(2, 2, 1, 1))


def test_hardware_encoders_are_named() -> None:
    plan = plan_encoding(CLIP, "h265", 18, hardware="nvenc")
    assert (plan.encoder, plan.pixel_format, plan.options["cq"]) == ("hevc_nvenc", "nv12", "18")
    assert any("hevc_nvenc" in note for note in plan.notes)


def test_needed_room_grows_with_frames_and_quality() -> None:
    size: Callable[[int, int], int] = lambda quality, frames: needed_bytes(  # noqa: E731
        plan_encoding(CLIP, "h264", quality), frames
    )
    assert size(18, 100) < size(18, 1000) < size(6, 1000)
    assert 50_000 < size(18, 1000) / 1000 < 600_000
