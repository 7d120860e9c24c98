"""Decoded frames to arrays: colours, levels, interlacing, upright."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from hub.media.video.clip import ClipInfo, Colour, Frame
from hub.media.video.geometry import Crop, Turn
from hub.media.video.pictures import Pictures, channels_of, depth_of

BT709_TV = Colour(1, 1, 1, 1)


def info_of(frame: av.VideoFrame, colour: Colour = BT709_TV) -> ClipInfo:
    channels, depth = channels_of(frame.format, frame), depth_of(frame.format)
    return ClipInfo(
        container="",
        stream=0,
        codec="",
        width=frame.width,
        height=frame.height,
        channels=channels,
        bit_depth=depth,
        pixel_format=frame.format.name,
        time_base=Fraction(1, 25),
        start=Fraction(0),
        seconds=None,
        frames=None,
        rate=None,
        colour=colour,
    )


def flat(pixel_format: str, *values: int) -> av.VideoFrame:
    """16 x 16 pixels; one value for each plane."""
    frame = av.VideoFrame(16, 16, pixel_format)
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype).tobytes())
    return frame


def converted(frames: list[av.VideoFrame], info: ClipInfo, crop: Crop | None = None) -> list[Frame]:
    pictures = Pictures(info, crop or Crop(), Turn())
    out = [each for number, frame in enumerate(frames) for each in pictures.push(frame, number * 7, None)]
    return out + list(pictures.flush())


@pytest.mark.parametrize(
    ("pixel_format", "levels", "black", "white", "full"),
    [
        ("yuv420p", 1, (16, 128, 128), (235, 128, 128), 255),
        ("yuv420p", 2, (0, 128, 128), (255, 128, 128), 255),
        ("yuv420p10le", 1, (64, 512, 512), (940, 512, 512), 65535),
        ("yuv422p10le", 2, (0, 512, 512), (1023, 512, 512), 65535),
        ("yuv444p12le", 1, (256, 2048, 2048), (3760, 2048, 2048), 65535),
        ("yuva444p10le", 1, (64, 512, 512, 1023), (940, 512, 512, 1023), 65535),
        ("yuva444p12le", 1, (256, 2048, 2048, 4095), (3760, 2048, 2048, 4095), 65535),
        ("gbrp10le", 0, (0, 0, 0), (1023, 1023, 1023), 65535),
        ("gray", 2, (0,), (255,), 255),
        ("gray", 1, (16,), (235,), 255),
        ("gray10le", 2, (0,), (1023,), 65535),
        ("gray10le", 1, (64,), (940,), 65535),
    ],
)
def test_black_and_white_are_full_scale(
    pixel_format: str, levels: int, black: tuple[int, ...], white: tuple[int, ...], full: int
) -> None:
    for planes, expected in ((black, 0), (white, full)):
        frame = flat(pixel_format, *planes)
        info = info_of(frame, Colour(1, 1, 1, levels))
        (picture,) = converted([frame], info)
        colours = picture.pixels[..., : 3 if info.channels > 2 else 1]
        assert np.abs(colours.astype(int) - expected).max() == 0
        if info.channels == 4:
            assert (picture.pixels[..., 3] == full).all()


@pytest.mark.parametrize(
    ("matrix", "luma"), [(1, (0.2126, 0.0722)), (6, (0.299, 0.114)), (9, (0.2627, 0.0593)), (7, (0.212, 0.087))]
)
def test_every_matrix_is_the_standards(matrix: int, luma: tuple[float, float]) -> None:
    y, u, v = 120, 100, 160
    red_share, blue_share = luma
    scaled = (y - 16) / 219
    red = scaled + (v - 128) / 224 * 2 * (1 - red_share)
    blue = scaled + (u - 128) / 224 * 2 * (1 - blue_share)
    green = (scaled - red_share * red - blue_share * blue) / (1 - red_share - blue_share)
    frame = flat("yuv444p", y, u, v)
    (picture,) = converted([frame], info_of(frame, Colour(1, 1, matrix, 1)))
    assert np.abs(picture.pixels[8, 8] / 255 - np.array([red, green, blue])).max() < 1.5 / 255


def test_an_untagged_clip_has_the_matrix_of_its_size() -> None:
    small, large = av.VideoFrame(320, 240, "yuv420p"), av.VideoFrame(1280, 720, "yuv420p")
    results = []
    for frame in (small, large):
        for plane, value in zip(frame.planes, (120, 100, 160), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        (untagged,) = converted([frame], info_of(frame, Colour()))
        results.append(untagged.pixels[5, 5])
        for matrix in (6, 1):
            (tagged,) = converted([frame], info_of(frame, Colour(matrix=matrix, range=1)))
            assert (tagged.pixels[5, 5] == results[-1]).all() == ((matrix == 1) == (frame is large))


@pytest.mark.parametrize(
    ("name", "options", "matrix", "levels", "pixel_format"),
    [
        ("a.mp4", {"colour": BT709_TV, "width": 161, "height": 91, "pixel_format": "yuv444p"}, "bt709", "tv", "rgb24"),
        ("b.mp4", {"colour": Colour(1, 1, 1, 2)}, "bt709", "pc", "rgb24"),
        ("c.mkv", {"codec": "ffv1", "pixel_format": "yuva420p"}, "smpte170m", "tv", "rgba"),
    ],
)
def test_8_bit_colours_equal_ffmpegs(
    make_clip: Callable[..., Path],
    read_clip: Callable[..., Any],
    name: str,
    options: dict[str, Any],
    matrix: str,
    levels: str,
    pixel_format: str,
) -> None:
    path = make_clip(name, times=range(4), **options)
    scale = (
        f"scale=in_color_matrix={matrix}:in_range={levels}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", scale, "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", pixel_format, "-"], capture_output=True, check=True).stdout
    ours = np.stack([frame.pixels for frame in read_clip(path).frames])
    assert np.abs(ours.astype(int) - np.frombuffer(raw, np.uint8).reshape(ours.shape)).max() <= 1


def woven(draw: Callable[[int, int, int], NDArray[np.uint8]], index: int) -> NDArray[np.uint8]:
    """Two moments in the lines of one picture, the earlier one on top."""
    picture = draw(4 * index, 128, 96)
    picture[1::2] = draw(4 * index + 2, 128, 96)[1::2]
    return picture


def combing(pixels: NDArray[np.uint8]) -> float:
    """How much lines differ from both their neighbours."""
    lines = pixels.astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def test_interlaced_clips_are_deinterlaced(
    make_clip: Callable[..., Path], read_clip: Callable[..., Any], draw: Callable[[int, int, int], NDArray[np.uint8]]
) -> None:
    options = {"x264-params": "tff=1:crf=5"}
    path = make_clip(options=options, draw=lambda index, width, height: woven(draw, index), times=range(10))
    clip = read_clip(path)
    assert clip.info.interlaced
    assert any("interlaced" in note for note in clip.info.notes)
    assert len(clip.frames) == 10
    smooth, comb = combing(draw(4, 128, 96)), combing(woven(draw, 1))
    assert combing(clip.frames[1].pixels) < smooth + 0.2 * (comb - smooth)
    with av.open(path) as container:
        assert clip.times == [frame.pts for frame in container.decode(video=0)]
    # The neighbours of a span are looked at, though not delivered.
    part = read_clip(path, since=clip.times[4], until=clip.times[6])
    assert part.times == clip.times[4:6]
    assert all((ours.pixels == whole.pixels).all() for ours, whole in zip(part.frames, clip.frames[4:6], strict=True))


def test_progressive_frames_pass_the_deinterlacer_untouched(draw: Callable[..., NDArray[np.uint8]]) -> None:
    greens = [np.ascontiguousarray(draw(index, 128, 96)[..., 1]) for index in range(3)]
    frames = [av.VideoFrame.from_ndarray(green, format="gray") for green in greens]
    results = converted(frames, info_of(frames[0], Colour(range=2)))
    assert [result.pts for result in results] == [0, 7, 14]
    assert all((result.pixels[..., 0] == green).all() for result, green in zip(results, greens, strict=True))


def test_pictures_of_another_size_are_centred_on_black() -> None:
    first, tall = flat("yuv420p", 126, 128, 128), av.VideoFrame(8, 16, "yuv420p")
    for plane, value in zip(tall.planes, (235, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    info = info_of(first)
    pictures = Pictures(info, Crop(), Turn())
    results = [*pictures.push(first, 0, None), *pictures.push(tall, 1, None), *pictures.push(first, 2, None)]
    results += pictures.flush()
    assert [result.pts for result in results] == [0, 1, 2]
    assert (results[0].pixels == results[2].pixels).all()
    middle = results[1].pixels
    assert (middle[:, 4:12] == 255).all()
    assert (middle[:, :4] == 0).all()
    assert (middle[:, 12:] == 0).all()
    assert (pictures.resized, pictures.other_size) == (1, "8 x 16")


def test_the_containers_crop_is_cut_off() -> None:
    frame = flat("gray", 0)
    rows = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frame = av.VideoFrame.from_ndarray(rows, format="gray")
    info = replace(info_of(frame, Colour(range=2)), width=10, height=13)
    (picture,) = converted([frame], info, Crop(top=2, bottom=1, left=4, right=2))
    assert (picture.pixels[..., 0] == rows[2:15, 4:14]).all()


def test_tiny_pictures_are_converted_too() -> None:
    for size in ((1, 1), (2, 2), (3, 5)):
        frame = av.VideoFrame(*size, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        (picture,) = converted([frame], info_of(frame))
        assert picture.pixels.shape == (size[1], size[0], 3)
