from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hub.errors import Busy, Cancelled, InvalidInput
from hub.media.video.decoder import ClipDecoder
from hub.video.options import VideoOptions
from hub.video.pipeline import Told
from hub.video.restoration import ClipRestoration, check_clip
from hub.video.terms import ClipTerms
from hub.video.tracks import BEFORE, RESULT, needed_space

SEGMENT = 16
MakeClip = Callable[..., Path]
Restore = Callable[..., ClipRestoration]


def times(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def packets(path: Path) -> list[tuple[int | None, str]]:
    """Times and content of all coded frames: what a player gets."""
    with av.open(path) as container:
        return [(packet.pts, hashlib.sha256(bytes(packet)).hexdigest()) for packet in container.demux(video=0)]


def join(clip: ClipRestoration, restored: Any, output: Path, track: str = RESULT) -> Path:
    clip.join(track, restored, output)
    return output


def ignore(_fraction: float, _told: Told) -> None:
    pass


def stop_at(frames: int, folder: Path, error: Exception) -> Callable[[float, Told], None]:
    """Raises `error` after so many frames, once the segments that are complete by then have been written."""

    def tell(_fraction: float, told: Told) -> None:
        if told.done < frames:
            return
        deadline = time.monotonic() + 60
        while len(list(folder.glob("0*.json"))) < (told.done - 1) // SEGMENT:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise error

    return tell


@pytest.fixture
def start(decoder: ClipDecoder, terms: ClipTerms, tmp_path: Path) -> Restore:
    def make(source: Path, folder: str = "segments", **options: Any) -> ClipRestoration:
        chosen = VideoOptions(**{"temporal": False, **options})
        return ClipRestoration(source, tmp_path / folder, chosen, terms, decoder=decoder, weights=["stub", 1])

    return make


def test_every_frame_is_restored_at_its_own_time(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    gaps = np.random.default_rng(3).integers(10, 90, 40)
    source = make_clip(times=[int(time) for time in np.cumsum(gaps)], sound=True, frames=40)
    clip = start(source, quality=1)
    told: list[tuple[float, int]] = []
    restored = clip.restore(network, lambda fraction, at: told.append((fraction, at.done)))
    output = join(clip, restored, tmp_path / "out.mp4")

    assert times(output) == times(source)
    assert restored.ending.segments == 3
    assert told == [(index / 40, index) for index in range(1, 41)]
    for before, after in zip(pictures(source), pictures(output), strict=True):
        assert np.abs(after.astype(float) - before.astype(float) / 2).mean() < 4


def test_an_interrupted_run_goes_on_and_gives_the_same_clip(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip(frames=60)
    whole = start(source, "whole", temporal=True)
    expected = packets(join(whole, whole.restore(network, ignore), tmp_path / "whole.mp4"))

    for stop in (5, 21, 17, 40, 50):
        with pytest.raises(Cancelled):
            start(source, temporal=True).restore(network, stop_at(stop, tmp_path / "segments", Cancelled()))
    clip = start(source, temporal=True)
    restored = clip.restore(network, ignore)
    assert restored.resumed == 3
    assert packets(join(clip, restored, tmp_path / "resumed.mp4")) == expected


def test_what_is_finished_is_not_done_again(make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path) -> None:
    source = make_clip(frames=40)
    start(source).restore(network, ignore)
    assert network.tiles == 40
    again = start(source)
    restored = again.restore(network, ignore)
    assert network.tiles == 40
    assert restored.resumed == restored.ending.segments == 3
    assert len(times(join(again, restored, tmp_path / "out.mp4"))) == 40


def test_other_options_begin_anew_and_are_named(make_clip: MakeClip, start: Restore, network: Any) -> None:
    source = make_clip(frames=20)
    start(source).restore(network, ignore)
    clip = start(source, strength=0.5, codec="h265")
    assert clip.changed == ("the strength", "the codec")
    assert clip.finished == 0
    assert clip.restore(network, ignore).resumed == 0
    assert network.tiles == 40


def test_segments_of_another_version_begin_anew(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip(frames=20)
    start(source).restore(network, ignore)
    (tmp_path / "segments" / "recipe.json").write_text('{"of": "long ago"}')
    clip = start(source)
    assert clip.changed == ("the version of the hub or its encoders",)
    assert clip.restore(network, ignore).resumed == 0


def test_other_settings_and_another_machine_do_not_matter(
    make_clip: MakeClip,
    decoder: ClipDecoder,
    terms: ClipTerms,
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    source, options = make_clip(frames=40), VideoOptions(temporal=False)

    def restoration(changes: dict[str, Any]) -> ClipRestoration:
        changed = ClipTerms(**{**vars(terms), **changes})
        return ClipRestoration(source, tmp_path / "segments", options, changed, decoder=decoder, weights="stub")

    with pytest.raises(Cancelled):
        restoration({}).restore(network, stop_at(36, tmp_path / "segments", Cancelled()))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    clip = restoration({"silence": 90.0, "segment_seconds": 5.0, "max_tile_pixels": 20_000, "min_free_bytes": 1})
    assert clip.changed == ()
    assert clip.finished == 2
    restored = clip.restore(network, ignore)
    assert restored.resumed == 2
    assert times(join(clip, restored, tmp_path / "out.mp4")) == times(source)


def test_smaller_tiles_stay_small_after_an_interruption(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip("large.mp4", frames=40, size=(256, 256))
    network.largest = 256 * 256 - 1
    with pytest.raises(Cancelled):
        start(source).restore(network, stop_at(36, tmp_path / "segments", Cancelled()))
    network.largest = None
    report = start(source).restore(network, ignore).report
    assert report.tile_height * report.tile_width < 256 * 256
    assert len(report.notes) == 1


def test_segments_of_another_file_are_not_taken_for_this_one(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    """Same header, other pictures: only the marks can tell."""
    source = make_clip(frames=40)
    with pytest.raises(Cancelled):
        start(source).restore(network, stop_at(36, tmp_path / "segments", Cancelled()))
    record = tmp_path / "segments" / "000001.json"
    record.write_text(record.read_text().replace("[[", "[[1").replace(", [", ", [1"))

    clip = start(source)
    restored = clip.restore(network, ignore)
    assert len(times(join(clip, restored, tmp_path / "out.mp4"))) == 40
    assert times(tmp_path / "out.mp4") == times(source)


def test_a_range_becomes_a_clip_of_its_own(make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path) -> None:
    source = make_clip(frames=50, sound=True)
    clip = start(source, start=0.4, end=1.2)
    output = join(clip, clip.restore(network, ignore), tmp_path / "out.mp4")
    chosen = [time for time in times(source) if Fraction(2, 5) <= time < Fraction(6, 5)]
    assert times(output) == [time - chosen[0] for time in chosen]
    with av.open(output) as container:
        sound = container.streams.audio[0]
        heard = sum(frame.samples for frame in container.decode(sound))
    assert heard / 48_000 == pytest.approx(0.8, abs=0.05)


def test_a_range_without_frames_is_an_error(make_clip: MakeClip, start: Restore, network: Any) -> None:
    source = make_clip(times=[0, 40, 80, 2000, 2040])
    with pytest.raises(InvalidInput) as refused:
        start(source, start=0.5, end=1).restore(network, ignore)
    assert refused.value.code == "no_frames"


def test_strength_blends_with_the_original(
    make_clip: MakeClip, start: Restore, network: Any, decoder: ClipDecoder, tmp_path: Path
) -> None:
    source = make_clip(frames=3)
    clip = start(source, strength=0.0, codec="lossless")
    output = join(clip, clip.restore(network, ignore), tmp_path / "out.mkv")
    with decoder.read(source, clip.info) as frames:
        for before, after in zip(frames, pictures(output), strict=True):
            assert np.array_equal(before.pixels, after)


def test_the_page_gets_the_original_to_play_beside(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip(frames=20)
    clip = start(source, display=True, codec="prores")
    restored = clip.restore(network, ignore)
    assert set(clip.tracks) == {"result", "before", "after"}
    before = join(clip, restored, tmp_path / "before.mp4", BEFORE)
    assert times(before) == times(source)
    colour = pictures(before)[5].mean(axis=(0, 1))
    assert np.abs(colour - pictures(source)[5].mean(axis=(0, 1))).max() < 3


def test_a_full_disk_is_told_before_and_finished_segments_stay(
    make_clip: MakeClip, decoder: ClipDecoder, terms: ClipTerms, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip(frames=40)
    with pytest.raises(Busy):
        start(source).restore(network, stop_at(36, tmp_path / "segments", Busy("disk_full", "The disk is full.")))
    greedy = ClipTerms(**{**vars(terms), "min_free_bytes": shutil.disk_usage(tmp_path).total * 2})
    with pytest.raises(Busy) as refused:
        check_clip(source, VideoOptions(), greedy, decoder)
    assert refused.value.code == "disk_full"
    assert start(source).restore(network, ignore).resumed == 2


def test_what_is_there_already_needs_no_room_again(
    make_clip: MakeClip,
    decoder: ClipDecoder,
    terms: ClipTerms,
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    source, options, folder = make_clip(frames=40), VideoOptions(temporal=False), tmp_path / "segments"
    clip = ClipRestoration(source, folder, options, terms, decoder=decoder, weights="stub")
    needed = needed_space(clip.info, options, clip.tracks, source.stat().st_size)
    with pytest.raises(Cancelled):
        clip.restore(network, stop_at(36, folder, Cancelled()))
    there = sum(path.stat().st_size for path in folder.glob("*.mp4"))
    assert there > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - there))
    again = ClipRestoration(source, folder, options, terms, decoder=decoder, weights="stub")
    assert again.restore(network, ignore).resumed == 2


def test_the_first_segments_tell_whether_the_rest_will_fit(
    make_clip: MakeClip, start: Restore, network: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hub.video import restoration

    source = make_clip(frames=80)
    monkeypatch.setattr(restoration, "needed_space", lambda *_: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    def wait_for_writer(_fraction: float, told: Told) -> None:
        if told.done == SEGMENT + 2:
            deadline = time.monotonic() + 60
            while not (tmp_path / "segments" / "000000.json").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)

    with pytest.raises(Busy) as refused:
        start(source).restore(network, wait_for_writer)
    assert refused.value.code == "disk_full"
    assert start(source).finished >= 1


def test_what_decoding_met_is_told_once_over_all_runs(
    make_clip: MakeClip, start: Restore, network: Any, tmp_path: Path
) -> None:
    source = make_clip("whole.mkv", frames=60)
    damaged = tmp_path / "damaged.mkv"
    content = bytearray(source.read_bytes())
    for place in (0.3, 0.8):
        at = int(place * len(content))
        content[at : at + 40] = bytes(40)
    damaged.write_bytes(content)
    calm = start(damaged, "calm").restore(network, ignore)
    assert calm.notes

    with pytest.raises(Cancelled):
        start(damaged).restore(network, stop_at(40, tmp_path / "segments", Cancelled()))
    resumed = start(damaged).restore(network, ignore)
    assert resumed.resumed == 2
    assert resumed.notes == calm.notes
