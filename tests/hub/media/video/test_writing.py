from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from hub.errors import Cancelled, HubError
from hub.media.video.clip import ClipInfo, Colour, Frame
from hub.media.video.codecs import EncodePlan, needed_bytes, plan_encoding
from hub.media.video.writing import ClipWriter, SegmentInfo

CODECS = ("h264", "h265", "av1", "vp9", "prores", "lossless")
MEMORY = 8 << 30
Draw = Callable[[int, int, int], NDArray[np.uint8]]
CLIP = ClipInfo(
    container="mov,mp4,m4a,3gp,3g2,mj2",
    stream=0,
    codec="h264",
    width=128,
    height=96,
    channels=3,
    bit_depth=8,
    pixel_format="yuv420p",
    time_base=Fraction(1, 90000),
    start=Fraction(0),
    seconds=1.0,
    frames=12,
    rate=Fraction(25),
    colour=Colour(1, 1, 1, 1),
)
# Variable rate, with a gap.
TIMES = (0, 3600, 3603, 9000, 12600, 16000, 90000, 93600, 97200, 100800)


def write(plan: EncodePlan, path: Path, frames: Iterable[Frame], *, silence: float = 60, **options: Any) -> SegmentInfo:
    done: list[SegmentInfo] = []
    with ClipWriter(plan, memory_bytes=MEMORY, silence=silence, **options) as writer:
        writer.begin(path, done.append)
        for frame in frames:
            writer.write(frame)
        writer.end()
    (segment,) = done
    return segment


def pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("codec", CODECS)
def test_a_segment_keeps_times_exactly(codec: str, tmp_path: Path, draw: Draw) -> None:
    plan = plan_encoding(CLIP, codec, 18)
    path = tmp_path / f"segment.{plan.segment_container}"
    first = 123_457
    frames = [Frame(draw(index, 128, 96), first + time, 3600) for index, time in enumerate(TIMES)]
    segment = write(plan, path, frames)
    assert (segment.frames, segment.first_pts, segment.last_pts) == (len(TIMES), first, first + TIMES[-1])
    assert segment.end_pts == first + TIMES[-1] + 3600
    assert segment.bytes == path.stat().st_size
    decoded = pictures(path)
    assert [frame.pts * frame.time_base for frame in decoded] == [time * plan.time_base for time in TIMES]
    assert decoded[0].key_frame


@pytest.mark.parametrize("codec", CODECS)
def test_the_shortest_segments_and_tiniest_pictures_work(codec: str, tmp_path: Path, draw: Draw) -> None:
    for count, (width, height) in enumerate(((1, 1), (17, 9)), 1):
        plan = plan_encoding(replace(CLIP, width=width, height=height), codec, 18)
        path = tmp_path / f"{count}.{plan.segment_container}"
        write(plan, path, [Frame(draw(index, width, height), index * 3600) for index in range(count)])
        decoded = pictures(path)
        assert len(decoded) == count
        assert (decoded[0].width, decoded[0].height) == (plan.width, plan.height)


def test_the_same_frames_give_the_same_file(tmp_path: Path, draw: Draw) -> None:
    for codec in ("h264", "h265", "av1", "vp9"):
        plan = plan_encoding(CLIP, codec, 18)
        frames = [Frame(draw(index, 128, 96), index * 3600, 3600) for index in range(8)]
        one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
        write(plan, one, frames)
        write(plan, two, frames)
        assert one.read_bytes() == two.read_bytes(), codec


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "gray", "bgra", "gbrp12le"])
def test_lossless_returns_the_very_pixels(
    pixel_format: str, make_clip: Callable[..., Path], read_clip: Callable[..., Any], tmp_path: Path
) -> None:
    source = read_clip(make_clip("clip.mkv", codec="ffv1", pixel_format=pixel_format, times=range(3)))
    plan = plan_encoding(source.info, "lossless", 18)
    path = tmp_path / "segment.mp4"
    write(plan, path, source.frames)
    result = read_clip(path)
    # Not more than the rounding to the depth that the clip has.
    step = 0 if source.info.bit_depth == 8 else 65535 / ((1 << source.info.bit_depth) - 1)
    for before, after in zip(source.frames, result.frames, strict=True):
        assert np.abs(before.pixels.astype(int) - after.pixels).max() <= step


@pytest.mark.parametrize(
    ("codec", "depth", "colour"),
    [
        ("h264", 8, Colour(6, 6, 6, 1)),
        ("h264", 8, Colour(1, 1, 1, 2)),
        ("h265", 10, Colour(9, 16, 9, 1)),
        ("h265", 10, Colour(1, 1, 1, 2)),
        ("av1", 10, Colour(9, 18, 9, 1)),
        ("vp9", 8, Colour(1, 1, 1, 1)),
        ("prores", 10, Colour(1, 1, 1, 2)),
    ],
)
def test_colours_come_back(
    codec: str, depth: int, colour: Colour, tmp_path: Path, read_clip: Callable[..., Any]
) -> None:
    """Flat patches through encoder and decoder: matrix and range fit together, and white stays white."""
    patches = [(255, 255, 255), (0, 0, 0), (200, 30, 40), (30, 180, 60), (40, 60, 190), (128, 128, 128)]
    picture = np.repeat(np.repeat(np.array(patches, np.uint8)[None], 64, 0), 32, 1)
    info = replace(
        CLIP,
        width=192,
        height=64,
        colour=colour,
        bit_depth=depth,
        pixel_format=f"yuv420p{'' if depth == 8 else '10le'}",
    )
    pixels = picture if depth == 8 else (picture.astype(np.uint16) * 257)
    plan = plan_encoding(info, codec, 4)
    path = tmp_path / f"segment.{plan.segment_container}"
    write(plan, path, [Frame(pixels, index * 3600, 3600) for index in range(2)])
    result = read_clip(path)
    limited = Colour(colour.primaries, colour.transfer, colour.matrix, 1) if codec == "prores" else colour
    assert result.info.colour == limited
    unit = 1 if result.info.dtype == "uint8" else 257
    seen = result.frames[0].pixels[32, 16::32].astype(float) / unit
    assert np.abs(seen - np.array(patches)).max() <= 2.6


def test_alpha_survives_prores(tmp_path: Path, draw: Draw, read_clip: Callable[..., Any]) -> None:
    plan = plan_encoding(replace(CLIP, channels=4, pixel_format="bgra"), "prores", 18)
    alpha = np.linspace(0, 255, 128).round().astype(np.uint8)[None, :, None].repeat(96, 0)
    path = tmp_path / "segment.mov"
    write(plan, path, [Frame(np.concatenate((draw(0, 128, 96), alpha), 2), 0, 3600)])
    result = read_clip(path)
    assert result.info.channels == 4
    assert np.abs(result.frames[0].pixels[..., 3] / 257.0 - alpha[..., 0]).max() <= 1


def test_segments_follow_one_another_and_are_told_when_closed(tmp_path: Path, draw: Draw) -> None:
    plan = plan_encoding(CLIP, "h264", 30)
    told: list[tuple[int, bool]] = []
    with ClipWriter(plan, memory_bytes=MEMORY, silence=60, queue_bytes=1) as writer:
        for number in range(3):
            path = tmp_path / f"{number}.mp4"
            writer.begin(path, lambda segment, path=path: told.append((segment.first_pts, path.stat().st_size > 0)))
            for index in range(4):
                writer.write(Frame(draw(index, 128, 96), (number * 4 + index) * 3600))
            writer.end()
    assert told == [(0, True), (14400, True), (28800, True)]
    assert {len(pictures(tmp_path / f"{number}.mp4")) for number in range(3)} == {4}


def test_what_done_raises_comes_out(tmp_path: Path, draw: Draw) -> None:
    def fail(segment: SegmentInfo) -> None:
        raise OSError("no ledger")

    def run() -> None:
        with ClipWriter(plan_encoding(CLIP, "h264", 30), memory_bytes=MEMORY, silence=60) as writer:
            writer.begin(tmp_path / "segment.mp4", fail)
            writer.write(Frame(draw(0, 128, 96), 0))
            writer.end()

    with pytest.raises(OSError, match="no ledger"):
        run()


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path, draw: Draw) -> None:
    with pytest.raises(HubError) as caught:
        write(plan_encoding(CLIP, "h264", 30), tmp_path / "missing" / "segment.mp4", [Frame(draw(0, 128, 96), 0)])
    assert (type(caught.value), caught.value.code) == (HubError, "encoder_lost")


def test_what_an_encoder_failed_of_is_logged(tmp_path: Path, draw: Draw, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HubError):
        write(plan_encoding(CLIP, "h264", 30), tmp_path / "missing" / "segment.mp4", [Frame(draw(0, 128, 96), 0)])
    assert "No such file" in caplog.text


def interfere(pid_signal: signal.Signals, draw: Draw) -> Iterator[Frame]:
    """Frames without end; after a few the process that encodes gets a signal."""
    for index in range(100_000):
        yield Frame(draw(0, 128, 96), index)
        if index == 5:
            (encoder,) = (child for child in psutil.Process().children() if "hub.media.video.worker" in child.cmdline())
            encoder.send_signal(pid_signal)


def test_an_encoder_that_hangs_is_given_up_while_frames_go_in(tmp_path: Path, draw: Draw) -> None:
    plan, frames = plan_encoding(CLIP, "h264", 30), interfere(signal.SIGSTOP, draw)
    with pytest.raises(HubError, match="did nothing for 2 seconds") as caught:
        write(plan, tmp_path / "segment.mp4", frames, silence=2, queue_bytes=1)
    assert caught.value.code == "encoder_lost"


def test_an_encoder_that_the_system_ends_is_not_the_clips_fault(
    tmp_path: Path, draw: Draw, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(HubError, match="ran out of memory") as caught:
        write(plan_encoding(CLIP, "h264", 30), tmp_path / "segment.mp4", interfere(signal.SIGKILL, draw), queue_bytes=1)
    assert (type(caught.value), caught.value.code) == (HubError, "encoder_lost")
    assert "signal 9" in caplog.text


@pytest.mark.parametrize(
    ("codec", "quality"),
    [("h264", 1), ("h264", 18), ("h265", 6), ("av1", 1), ("av1", 23), ("vp9", 18), ("vp9", 28), ("prores", 18)],
)
def test_noise_needs_no_more_room_than_was_said(codec: str, quality: int, tmp_path: Path, draw: Draw) -> None:
    plan = plan_encoding(replace(CLIP, width=320, height=240), codec, quality)
    random = np.random.default_rng(7)
    noisy = [np.clip(draw(index, 320, 240) + random.normal(0, 25, (240, 320, 3)), 0, 255) for index in range(8)]
    frames = [Frame(picture.astype(np.uint8), index * 3600, 3600) for index, picture in enumerate(noisy)]
    segment = write(plan, tmp_path / f"segment.{plan.segment_container}", frames)
    assert 0.4 * needed_bytes(plan, 8) < segment.bytes < needed_bytes(plan, 8)


@pytest.mark.parametrize("depth", [8, 16])
def test_noise_without_loss_needs_no_more_room_than_was_said(depth: int, tmp_path: Path) -> None:
    info = replace(CLIP, width=320, height=240, bit_depth=depth, pixel_format="bgr0" if depth == 8 else "gbrp16le")
    plan = plan_encoding(info, "lossless", 18)
    random = np.random.default_rng(7)
    scale = 1 if depth == 8 else 257
    frames = [
        Frame(np.clip(random.normal(128, 25, (240, 320, 3)) * scale, 0, 255 * scale).astype(info.dtype), index * 3600)
        for index in range(3)
    ]
    segment = write(plan, tmp_path / "segment.mp4", frames)
    assert 0.6 * needed_bytes(plan, 3) < segment.bytes < needed_bytes(plan, 3)


def test_cancelling_frees_whoever_writes(tmp_path: Path, draw: Draw) -> None:
    cancelled = threading.Event()

    def frames() -> Iterator[Frame]:
        for index in range(100_000):
            yield Frame(draw(0, 128, 96), index)
            if index == 20:
                cancelled.set()

    with pytest.raises(Cancelled):
        write(
            plan_encoding(CLIP, "h264", 30),
            tmp_path / "segment.mp4",
            frames(),
            cancelled=cancelled.is_set,
            queue_bytes=1,
        )


def test_leaving_by_an_exception_ends_the_child(tmp_path: Path, draw: Draw) -> None:
    def frames() -> Iterator[Frame]:
        yield Frame(draw(0, 128, 96), 0)
        raise KeyError

    with pytest.raises(KeyError):
        write(plan_encoding(CLIP, "h264", 30), tmp_path / "segment.mp4", frames())
    assert not any(thread.name == "clip-writer" for thread in threading.enumerate())
