"""The hub's side: children are bounded, killed when nobody wants them, and never trusted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hub.errors import Busy, Cancelled, HubError, InvalidInput, TooLarge
from hub.media.video.decoder import ClipDecoder

MakeClip = Callable[..., Path]


def make_decoder(**changes: Any) -> ClipDecoder:
    settings: dict[str, Any] = {
        "max_pixels": 4_000_000,
        "max_seconds": 3600.0,
        "max_frames": 100_000,
        "silence": 60.0,
        "memory_bytes": 8 << 30,
    }
    return ClipDecoder(**{**settings, **changes})


@pytest.fixture
def decoder() -> Iterator[ClipDecoder]:
    decoder = make_decoder()
    yield decoder
    decoder.close()


def children() -> list[psutil.Process]:
    """Processes that read clips for this test run."""
    found = []
    for process in psutil.Process().children():
        try:
            if "hub.media.video.worker" in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_frames_are_fetched_ahead_within_bounds(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip(times=range(12), width=1280, height=720, options={"preset": "ultrafast"})
    info = decoder.probe(path)
    with decoder.read(path, info) as reading:
        next(reading)
        deadline = time.monotonic() + 20
        while reading.waiting < 11 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert reading.waiting == 11  # 30 MB.
        assert sum(1 for _ in reading) == 11
        assert reading.frames == 12
    assert not children()


def test_leaving_early_ends_the_child_at_once(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip(times=range(250))
    info = decoder.probe(path)
    with decoder.read(path, info) as reading:
        next(reading)
        assert len(children()) == 1
    assert not children()


def test_the_frame_at_a_time(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip("clip.mkv", times=[0, 40, 120, 3000, 3040, 4000], time_base=Fraction(1, 1000), options={"g": "1"})
    info = decoder.probe(path)
    for seconds, expected in ((0.0, 0), (0.119, 40), (0.12, 120), (2.999, 120), (3.0, 3000), (99.0, 4000), (-1.0, 0)):
        assert decoder.frame_at(path, info, seconds).pts == expected
    with pytest.raises(InvalidInput):
        decoder.frame_at(path, info, float("nan"))


def test_limits_hold_though_the_header_lies(make_clip: MakeClip, decoder: ClipDecoder) -> None:
    path = make_clip("bare.h264", times=range(30))
    info = decoder.probe(path)
    assert info.frames is None
    for limit, code in (({"max_frames": 10}, "too_many_frames"), ({"max_seconds": 0.5}, "too_long")):
        strict = make_decoder(**limit)
        with pytest.raises(TooLarge) as caught, strict.read(path, strict.probe(path)) as reading:
            list(reading)
        assert caught.value.code == code
    growing = path.with_name("growing.h264")
    growing.write_bytes(path.read_bytes() + make_clip("large.h264", times=range(3), width=160, height=120).read_bytes())
    strict = make_decoder(max_pixels=128 * 96)
    with pytest.raises(TooLarge) as caught, strict.read(growing, strict.probe(growing)) as reading:
        list(reading)
    assert caught.value.code == "too_many_pixels"


def test_a_cancelled_job_frees_who_waits(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip(times=range(250), width=640, height=360, options={"preset": "ultrafast"})
    info = decoder.probe(path)
    cancel = threading.Event()
    with decoder.read(path, info, cancelled=cancel.is_set) as reading:
        next(reading)
        cancel.set()
        while children():
            time.sleep(0.02)
        with pytest.raises(Cancelled):
            list(reading)


def test_a_child_that_falls_silent_is_given_up(make_clip: MakeClip) -> None:
    decoder = make_decoder(silence=1.0)
    path = make_clip(times=range(250), width=640, height=360, options={"preset": "ultrafast"})
    with decoder.read(path, decoder.probe(path)) as reading:
        next(reading)
        os.kill(children()[0].pid, signal.SIGSTOP)
        with pytest.raises(InvalidInput) as caught:
            list(reading)
    assert caught.value.code == "decode_timeout"
    assert not children()


def test_a_child_that_dies_is_a_damaged_clip(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip(times=range(250), width=640, height=360, options={"preset": "ultrafast"})
    with decoder.read(path, decoder.probe(path)) as reading:
        next(reading)
        children()[0].kill()
        with pytest.raises(InvalidInput) as caught:
            list(reading)
    assert caught.value.code == "damaged_video"


def test_closing_ends_what_runs(make_clip: MakeClip) -> None:
    decoder = make_decoder()
    path = make_clip(times=range(250), width=640, height=360, options={"preset": "ultrafast"})
    info = decoder.probe(path)
    with decoder.read(path, info) as reading:
        next(reading)
        decoder.close()
        with pytest.raises(Busy) as caught:
            list(reading)
    assert caught.value.code == "stopping"
    with pytest.raises(Busy):
        decoder.probe(path)


def test_little_memory_is_a_clear_error(make_clip: MakeClip) -> None:
    decoder = make_decoder(memory_bytes=200 << 20)
    path = make_clip(times=range(3), width=1920, height=1080, options={"preset": "ultrafast"})
    with pytest.raises(HubError):
        decoder.probe(path)


def test_two_probes_at_once_do_not_disturb_each_other(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    paths = [make_clip(f"{number}.mp4", times=range(3), width=64 + 16 * number) for number in range(4)]
    widths: dict[int, int] = {}
    threads = [
        threading.Thread(target=lambda number=number: widths.update({number: decoder.probe(paths[number]).width}))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert widths == {number: 64 + 16 * number for number in range(4)}


def test_a_jobs_own_look_waits_for_nobody(
    decoder: ClipDecoder, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.media.video.decoder._WAIT_SECONDS", 0.05)
    path = make_clip(times=range(3))
    with decoder._glance(), decoder._glance():
        with pytest.raises(Busy, match="other clips") as caught:
            decoder.probe(path)
        assert caught.value.code == "decoder_busy"
        assert decoder.probe(path, queue=False).width == 128


def test_a_cancelled_job_does_not_wait_for_a_look(decoder: ClipDecoder, tmp_path: Path) -> None:
    endless = tmp_path / "clip.mp4"
    os.mkfifo(endless)
    with pytest.raises(Cancelled):
        decoder.probe(endless, queue=False, cancelled=lambda: True)
    assert not children()


def test_arrays_are_whole_and_writable(decoder: ClipDecoder, make_clip: MakeClip) -> None:
    path = make_clip(times=range(2), rotation=90)
    with decoder.read(path, decoder.probe(path)) as reading:
        pixels = next(reading).pixels
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert pixels.dtype == np.uint8
