"""What a clip's header and first frame tell."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from hub.errors import TooLarge
from hub.media.video.clip import ClipInfo, Colour
from hub.media.video.limits import Limits
from hub.media.video.probe import probe

LIMITS = Limits(max_pixels=4_000_000, max_seconds=3600, max_frames=100_000)


def test_an_everyday_clip(make_clip: Callable[..., Path]) -> None:
    info = probe(make_clip(times=range(25), sound=True, subtitles=True), LIMITS)
    assert (info.width, info.height, info.channels, info.bit_depth, info.dtype) == (128, 96, 3, 8, "uint8")
    assert (info.codec, info.pixel_format, info.stream) == ("h264", "yuv420p", 0)
    assert (info.frames, info.rate, info.start) == (25, 25, 0)
    assert info.seconds == pytest.approx(1)
    assert (info.audio_streams, info.subtitle_streams) == (1, 1)
    assert (info.aspect, info.colour, info.interlaced, info.turned) == (1, Colour(), False, False)
    assert (info.mastering, info.notes) == (None, ())


def test_avi_counts_frames_not_ticks(make_clip: Callable[..., Path]) -> None:
    path = make_clip("clip.avi", codec="mpeg4", time_base=Fraction(1, 600), times=range(0, 600, 24))
    info = probe(path, LIMITS)
    assert (info.frames, info.rate) == (25, 25)


def test_a_header_survives_json(make_clip: Callable[..., Path]) -> None:
    info = probe(make_clip("clip.mkv", aspect=Fraction(16, 15)), LIMITS)
    assert ClipInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize(
    ("pixel_format", "channels", "depth"),
    [
        ("yuv422p10le", 3, 10),
        ("yuv444p12le", 3, 12),
        ("gray", 1, 8),
        ("gray10le", 1, 10),
        ("yuva420p", 4, 8),
        ("yuva422p10le", 4, 10),
        ("bgra", 4, 8),
        ("bgr0", 3, 8),
        ("gbrp16le", 3, 16),
        ("ya8", 2, 8),
    ],
)
def test_channels_and_depth(make_clip: Callable[..., Path], pixel_format: str, channels: int, depth: int) -> None:
    info = probe(make_clip("clip.mkv", codec="ffv1", pixel_format=pixel_format, times=range(2)), LIMITS)
    assert (info.channels, info.bit_depth) == (channels, depth)


def test_colour_tags_and_mastering_of_hdr(make_clip: Callable[..., Path]) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    parameters = f"log-level=none:master-display={display}:max-cll=1000,400"
    path = make_clip(
        codec="libx265",
        pixel_format="yuv420p10le",
        colour=Colour(9, 16, 9, 1),
        options={"x265-params": parameters},
        times=range(3),
    )
    info = probe(path, LIMITS)
    assert info.colour == Colour(primaries=9, transfer=16, matrix=9, range=1)
    assert info.mastering == {"master-display": display, "max-cll": "1000,400"}


def test_formats_that_imply_a_range_tell_it(make_clip: Callable[..., Path]) -> None:
    assert probe(make_clip("a.avi", codec="mjpeg", pixel_format="yuvj420p"), LIMITS).colour.range == 2
    assert probe(make_clip("b.mkv", codec="ffv1", pixel_format="gray"), LIMITS).colour.range == 2
    rgb = probe(make_clip("c.mkv", codec="ffv1", pixel_format="bgr0"), LIMITS).colour
    assert (rgb.matrix, rgb.range) == (0, 0)


def test_the_container_knows_the_pixel_aspect_best(make_clip: Callable[..., Path]) -> None:
    assert probe(make_clip("a.mkv", aspect=Fraction(4, 3)), LIMITS).aspect == Fraction(4, 3)
    assert probe(make_clip("b.mp4", aspect=Fraction(4, 3), rotation=90), LIMITS).aspect == Fraction(3, 4)


def test_vp9_alpha_is_seen(make_clip: Callable[..., Path]) -> None:
    info = probe(make_clip("a.webm", codec="libvpx-vp9", pixel_format="yuva420p", times=range(3)), LIMITS)
    assert info.channels == 4


def test_a_container_crop_counts(make_clip: Callable[..., Path]) -> None:
    path = make_clip(times=range(3))
    crop_by_clean_aperture(path, width=100, height=80, right_of_centre=4, below_centre=-2)
    info = probe(path, LIMITS)
    assert (info.width, info.height) == (100, 80)


def crop_by_clean_aperture(path: Path, *, width: int, height: int, right_of_centre: int, below_centre: int) -> None:
    """Put a `clap` box into the only track's sample description; the table of contents must be at the end."""
    data = path.read_bytes()
    numbers = (width, 1, height, 1, right_of_centre, 1, below_centre, 1)
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    end = data.index(b"avc1", data.index(b"stsd")) - 4
    end += struct.unpack(">I", data[end : end + 4])[0]
    patched = bytearray(data[:end] + box + data[end:])
    place = data.rindex(b"moov")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(name, place)
        size = struct.unpack(">I", data[place - 4 : place])[0]
        patched[place - 4 : place] = struct.pack(">I", size + len(box))
    path.write_bytes(patched)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_pixels=128 * 96 - 1, max_seconds=99, max_frames=99), "too_many_pixels"),
        (Limits(max_pixels=128 * 96, max_seconds=0.9, max_frames=99), "too_long"),
        (Limits(max_pixels=128 * 96, max_seconds=99, max_frames=24), "too_many_frames"),
    ],
)
def test_limits_hold_by_the_header(make_clip: Callable[..., Path], limits: Limits, code: str) -> None:
    with pytest.raises(TooLarge) as caught:
        probe(make_clip(times=range(25)), limits)
    assert caught.value.code == code
    assert set(caught.value.data) & {"max_pixels", "max_seconds", "max_frames"}


def test_a_moving_gif_is_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    pictures = [Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    info = probe(path, LIMITS)
    assert (info.width, info.height, info.container) == (64, 48, "gif")
