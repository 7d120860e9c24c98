"""Every frame once, in order, at its own time, upright, whatever state the file is in."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hub.errors import Busy
from hub.media.video import opening, reading
from hub.media.video.decoder import ClipDecoder

ReadClip = Callable[..., Any]
MakeClip = Callable[..., Path]
FIXED = 1 << 16
LIMITS = {"max_pixels": 4_000_000, "max_seconds": 3600, "max_frames": 100_000}


def own_times(path: Path) -> list[int | None]:
    """The times that PyAV gives the frames."""
    with av.open(path) as container:
        return [frame.pts for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("varying.mp4", {"times": [0, 1, 4, 5, 11, 30, 31, 90], "time_base": Fraction(1, 90)}),
        ("odd.mp4", {"time_base": Fraction(1001, 30000), "rate": Fraction(30000, 1001)}),
        ("prime.mp4", {"time_base": Fraction(1, 90_000), "times": [17, 3770, 7509, 11263, 20011, 20017]}),
        ("late.mkv", {"times": [50, 51, 53, 60]}),
        ("negative.nut", {"codec": "mpeg4", "times": range(-5, 8)}),
        ("stream.ts", {"times": range(20)}),
        ("no_b.avi", {"codec": "mpeg4"}),
        ("clip.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}}),
        ("ten.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
        ("mpeg2.mpg", {"codec": "mpeg2video"}),
        ("odd_size.mp4", {"width": 161, "height": 91, "pixel_format": "yuv444p"}),
    ],
)
def test_times_are_the_clips_own(make_clip: MakeClip, read_clip: ReadClip, name: str, options: dict[str, Any]) -> None:
    path = make_clip(name, **options)
    clip = read_clip(path)
    assert clip.times == own_times(path)
    assert clip.notes == ()
    assert len(clip.frames) == len(options.get("times", range(12)))
    assert clip.frames[0].pixels.shape == (clip.info.height, clip.info.width, clip.info.channels)


def test_a_negative_start_that_an_edit_list_hides_stays_hidden(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip(times=range(-5, 8), container_options={"avoid_negative_ts": "disabled"})
    clip = read_clip(path)
    assert clip.times == own_times(path) == [512 * index for index in range(8)]


def test_an_edit_list_hides_what_it_cuts(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip(times=range(20), options={"g": "5"})
    data = bytearray(path.read_bytes())
    # One edit: its duration, where in the media it begins, and its speed.
    entry = data.index(b"elst") + 12
    start = int.from_bytes(data[entry + 4 : entry + 8], "big", signed=True)
    step = 512
    data[entry + 4 : entry + 8] = (start + 7 * step).to_bytes(4, "big")
    path.write_bytes(data)
    clip = read_clip(path)
    assert clip.times == own_times(path)
    assert clip.times[0] == 0
    assert 0 < len(clip.frames) < 20


def test_frames_are_the_ones_that_were_drawn(
    make_clip: MakeClip, read_clip: ReadClip, draw: Callable[[int, int, int], NDArray[np.uint8]]
) -> None:
    clip = read_clip(make_clip(codec="ffv1", pixel_format="bgr0", times=range(6)))
    for index, frame in enumerate(clip.frames):
        assert (frame.pixels == draw(index, 128, 96)).all()


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda picture: picture),
        ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
        ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
        ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1)),
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
        ((1, 0, 0, -1), lambda picture: picture[::-1]),
        ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda picture: np.rot90(picture, 2).swapaxes(0, 1)),
    ],
    ids=["upright", "clockwise", "upside_down", "counterclockwise", "mirror", "flip", "transpose", "transverse"],
)
def test_pictures_stand_upright(
    make_clip: MakeClip,
    read_clip: ReadClip,
    draw: Callable[[int, int, int], NDArray[np.uint8]],
    matrix: tuple[int, int, int, int],
    upright: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    a, b, c, d = (number * FIXED for number in matrix)
    path = make_clip(codec="ffv1", pixel_format="bgr0", times=range(2), matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    clip = read_clip(path)
    assert (clip.frames[0].pixels == upright(draw(0, 128, 96))).all()
    assert clip.info.turned == (matrix != (1, 0, 0, 1))
    assert (clip.info.width, clip.info.height) == ((96, 128) if matrix[0] == 0 else (128, 96))


def test_an_angle_that_is_not_right_is_rounded_and_told(make_clip: MakeClip, read_clip: ReadClip) -> None:
    clip = read_clip(make_clip(rotation=-80, times=range(2)))
    assert (clip.info.width, clip.info.height) == (96, 128)
    assert any("10°" in note for note in clip.info.notes)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {}),
        ("mpeg4", {"bf": "2"}),
        ("mpeg2video", {"bf": "2"}),
        ("mpeg2video", {}),
        ("mpeg1video", {"bf": "2"}),
    ],
)
def test_frames_in_avi_have_the_times_of_its_packets_in_order(
    make_clip: MakeClip, read_clip: ReadClip, codec: str, options: dict[str, str]
) -> None:
    path = make_clip("b_frames.avi", codec=codec, options=options, times=range(20))
    assert own_times(path) != list(range(20))
    assert read_clip(path).times == list(range(20))


def test_a_bare_stream_follows_its_rate(make_clip: MakeClip, read_clip: ReadClip) -> None:
    clip = read_clip(make_clip("bare.h264", times=range(10)))
    seconds = [time * clip.info.time_base for time in clip.times]
    assert seconds == [Fraction(index, 25) for index in range(10)]
    assert len(clip.notes) == 1


def test_a_clip_that_changes_its_size(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip("a.h264", times=range(5))
    with path.open("ab") as file:
        file.write(make_clip("b.h264", times=range(5), width=96, height=96).read_bytes())
    clip = read_clip(path)
    assert len(clip.frames) == 10
    assert {frame.pixels.shape for frame in clip.frames} == {(96, 128, 3)}
    assert (clip.frames[7].pixels[:, :16] == 0).all()
    assert any("5." in note and "96 x 96" in note for note in clip.notes)


def test_glued_streams_go_on_after_the_clock_jumps_back(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip("a.ts", times=range(50))
    with path.open("ab") as file:
        file.write(make_clip("b.ts", times=range(5)).read_bytes())
    clip = read_clip(path)
    assert len(clip.frames) == 55
    assert np.diff(clip.times).tolist() == [3600] * 54
    assert any("jumps back" in note for note in clip.notes)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_file_that_breaks_off_gives_what_is_there(make_clip: MakeClip, read_clip: ReadClip, name: str) -> None:
    path = make_clip(name, times=range(75), options={"g": "25"}, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    clip = read_clip(path)
    assert 10 < len(clip.frames) < 75
    assert any("breaks off" in note and "3.0 seconds" in note for note in clip.notes)


def test_damaged_packets_are_skipped(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip(codec="libvpx-vp9", options={"cpu-used": "8", "lag-in-frames": "0"}, times=range(12))
    with av.open(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    place, size = places[6]
    assert place is not None
    data[place : place + size] = b"\x00" * size
    path.write_bytes(data)
    clip = read_clip(path)
    assert 6 <= len(clip.frames) < 12
    assert clip.times[-1] == 11 * 512
    assert any("damaged" in note.lower() for note in clip.notes)


def test_a_file_that_makes_no_sense_from_somewhere_on(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = make_clip("clip.nut", codec="mpeg4", times=range(50))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    clip = read_clip(path)
    assert 10 < len(clip.frames) < 50
    assert any("what follows after" in note for note in clip.notes)


class FailingFile(io.FileIO):
    """A file whose disk can be lost."""

    failure: Exception | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.failure is not None:
            raise self.failure
        return super().read(size)


class LosingChannel:
    """The end of a channel that loses the file's disk as soon as there is a frame."""

    def __init__(self, file: FailingFile, failure: Exception) -> None:
        self.sent: list[Mapping[str, Any]] = []
        self._file = file
        self._failure = failure

    def send(self, message: Mapping[str, Any], pixels: NDArray[Any]) -> None:
        self.sent.append(message)
        self._file.failure = self._failure


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (OSError(errno.EIO, "Input/output error"), Busy),
        (OSError(errno.ESTALE, "Stale file handle"), Busy),
        (av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"), MemoryError),
    ],
    ids=["io", "stale", "memory"],
)
def test_a_disk_that_is_lost_is_not_the_end_of_the_clip(
    make_clip: MakeClip,
    clip_decoder: ClipDecoder,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    failure: Exception,
    raised: type[Exception],
) -> None:
    path = make_clip(name, codec="mpeg4", options={"qmax": "2"}, times=range(12), draw=noise)
    info = clip_decoder.probe(path)
    file = FailingFile(path)
    monkeypatch.setattr(opening, "_opened", lambda path: file)
    channel = LosingChannel(file, failure)
    request = {"path": str(path), "info": info.to_json(), "limits": LIMITS, "seek": True}
    with pytest.raises(raised) as caught:
        reading.serve({**request, "since": None, "until": None, "at": None}, cast(Any, channel))
    assert 0 < len(channel.sent) < 12
    assert all("frame" in message for message in channel.sent)
    if isinstance(caught.value, Busy):
        assert caught.value.code == "read_failed"


def noise(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "seek"),
    [("clip.mp4", True), ("clip.mp4", False), ("clip.mkv", True), ("clip.ts", True), ("clip.avi", True)],
)
def test_a_span_is_a_part_of_the_whole(make_clip: MakeClip, read_clip: ReadClip, name: str, seek: bool) -> None:
    path = make_clip(name, times=range(75), options={"g": "10"}, width=64, height=48)
    whole = read_clip(path)
    for start, end in ((50, 53), (74, 75)):
        until = whole.times[end] if end < 75 else None
        part = read_clip(path, since=whole.times[start], until=until, seek=seek)
        assert part.times == whole.times[start:end]
        pairs = zip(part.frames, whole.frames[start:end], strict=True)
        assert all((ours.pixels == theirs.pixels).all() for ours, theirs in pairs)


def test_vp9_alpha_is_read(make_clip: MakeClip, read_clip: ReadClip) -> None:
    def half_clear(index: int, width: int, height: int) -> NDArray[np.uint8]:
        picture = np.full((height, width, 4), 128, np.uint8)
        picture[:, :, 3] = np.where(np.arange(width) < width // 2, 0, 255)
        return picture

    path = make_clip("a.webm", codec="libvpx-vp9", pixel_format="yuva420p", times=range(3), draw=half_clear)
    alpha = read_clip(path).frames[1].pixels[..., 3]
    assert alpha[:, :56].max() < 16
    assert alpha[:, 72:].min() > 239
