"""Counts of several runs add up, and come back from JSON as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from hub.media.video.counts import Counts
from hub.media.video.decoder import ClipDecoder

ReadClip = Callable[..., Any]
MakeClip = Callable[..., Path]


def test_what_two_runs_met_adds_up() -> None:
    first = Counts(damaged_packets=2, resized=3, other_size="96 x 96")
    run_up = Counts(damaged_packets=1, interlaced=4)
    second = Counts(damaged_packets=4, interlaced=9)
    total = first + (second - run_up)
    assert total == Counts(damaged_packets=5, interlaced=5, resized=3, other_size="96 x 96")
    assert first + Counts() == first
    assert first - first == Counts()


def test_only_what_happened_is_told() -> None:
    assert Counts().notes() == ()
    assert Counts(patched_frames=1, resized=5, other_size="96 x 96").notes() == (
        "Damaged frames that the decoder patched up: 1.",
        "Frames of another size (96 x 96) that were scaled to fit: 5.",
    )


def test_through_json_and_back() -> None:
    counts = Counts(moved_times=7, clock_jumps=1, other_size="8 x 8")
    assert Counts.from_json(counts.to_json()) == counts


@pytest.mark.parametrize("change", [{"resized": "2"}, {"resized": True}, {"resized": None}, {"other_size": 3}])
def test_nonsense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Counts.from_json({**Counts().to_json(), **change})


def damaged_clip(make_clip: MakeClip) -> Path:
    """75 frames of VP9, of which some cannot be decoded."""
    options = {"cpu-used": "8", "lag-in-frames": "0", "g": "10"}
    path = make_clip("damaged.mp4", codec="libvpx-vp9", options=options, times=range(75), width=64, height=48)
    with av.open(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for index in (3, 27, 29, 35, 48, 66, 74):
        place, size = places[index]
        assert place is not None
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def growing_clip(make_clip: MakeClip) -> Path:
    """75 frames without times, of which most have another size."""
    path = make_clip("growing.h264", times=range(30), width=64, height=48)
    with path.open("ab") as file:
        file.write(make_clip("more.h264", times=range(45), width=96, height=96).read_bytes())
    return path


@pytest.mark.parametrize("make", [damaged_clip, growing_clip])
@pytest.mark.parametrize("seek", [True, False])
def test_what_two_runs_count_adds_up_to_what_one_counts(
    make_clip: MakeClip, clip_decoder: ClipDecoder, make: Callable[[MakeClip], Path], seek: bool
) -> None:
    path = make(make_clip)
    info = clip_decoder.probe(path)
    with clip_decoder.read(path, info) as whole:
        times, counts = [], []
        for frame in whole:
            times.append(frame.pts)
            counts.append(whole.counts)
    assert counts[0].damaged_packets == 0
    assert len(whole.notes) > 0
    done, marks = 45, 8
    with clip_decoder.read(path, info, since=times[done - marks], seek=seek) as rest:
        assert [next(rest).pts for _ in range(marks)] == times[done - marks : done]
        known = rest.counts
        for index, frame in enumerate(rest, done):
            assert frame.pts == times[index]
            assert counts[done - 1] + (rest.counts - known) == counts[index]
    assert counts[done - 1] + (rest.counts - known) == whole.counts
    assert whole.counts != counts[done - 1] != Counts()


def test_a_span_counts_what_is_in_it(make_clip: MakeClip, read_clip: ReadClip) -> None:
    path = damaged_clip(make_clip)
    assert "7." in " ".join(read_clip(path).notes)
    times = [512 * index for index in range(75)]
    assert "3." in " ".join(read_clip(path, since=times[10], until=times[40]).notes)
    assert read_clip(path, since=times[5], until=times[20]).notes == ()
