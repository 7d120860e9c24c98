from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hub.media.video.clip import Frame
from hub.media.video.counts import Counts
from hub.media.video.writing import SegmentInfo
from hub.video.segments import Ending, Mark, SegmentFolder, read_recipe

SUFFIXES = {"result": ".mp4", "before": ".mp4"}
RECIPE = {"codec": "h264", "strength": 1.0}


def info(index: int) -> SegmentInfo:
    return SegmentInfo(frames=16, first_pts=16 * index, last_pts=16 * index + 15, end_pts=16 * index + 16, bytes=5)


def write(folder: SegmentFolder, index: int, tracks: tuple[str, ...] = ("result", "before")) -> None:
    for track in tracks:
        folder.partial(track, index).write_bytes(b"video")
        folder.finish(track, index, info(index))
    folder.mark(index, [Mark(16 * index + 15, 7)], Counts(damaged_packets=index))


@pytest.fixture
def folder(tmp_path: Path) -> SegmentFolder:
    (tmp_path / "segments").mkdir()
    folder = SegmentFolder(tmp_path / "segments", SUFFIXES)
    assert folder.open(RECIPE) == []
    assert read_recipe(tmp_path / "segments") == RECIPE
    return folder


def test_finished_segments_are_found_again(folder: SegmentFolder, tmp_path: Path) -> None:
    write(folder, 0)
    write(folder, 1)
    again = SegmentFolder(tmp_path / "segments", SUFFIXES).open(RECIPE)
    assert [segment.index for segment in again] == [0, 1]
    assert again[1].tracks["result"] == info(1)
    assert again[1].marks == (Mark(31, 7),)
    assert again[1].counts == Counts(damaged_packets=1)
    assert [path.read_bytes() for path, _ in folder.files("before", 2)] == [b"video", b"video"]


def test_a_segment_counts_only_with_all_tracks_and_marks(folder: SegmentFolder, tmp_path: Path) -> None:
    write(folder, 0)
    write(folder, 1, tracks=("result",))
    folder.partial("result", 2).write_bytes(b"video")
    folder.finish("result", 2, info(2))
    assert [segment.index for segment in SegmentFolder(tmp_path / "segments", SUFFIXES).open(RECIPE)] == [0]
    left = {path.name for path in (tmp_path / "segments").iterdir()}
    assert left == {"recipe.json", "000000.json", "result-000000.mp4", "before-000000.mp4"}


def test_segments_behind_a_gap_are_deleted(folder: SegmentFolder, tmp_path: Path) -> None:
    for index in (0, 1, 2):
        write(folder, index)
    folder.path("before", 1).unlink()
    assert [segment.index for segment in SegmentFolder(tmp_path / "segments", SUFFIXES).open(RECIPE)] == [0]
    assert not folder.path("result", 2).exists()


def test_only_finished_segments_are_counted(folder: SegmentFolder) -> None:
    write(folder, 0)
    write(folder, 1, tracks=("result",))
    assert folder.recorded == 1
    assert [segment.index for segment in folder.finished()] == [0]
    assert folder.partial("result", 0).parent.is_dir()


def test_the_recipe_can_be_rewritten(folder: SegmentFolder, tmp_path: Path) -> None:
    write(folder, 0)
    folder.write_recipe({**RECIPE, "shrinks": 1})
    assert read_recipe(tmp_path / "segments") == {**RECIPE, "shrinks": 1}
    assert read_recipe(tmp_path) is None
    assert len(folder.finished()) == 1


def test_the_ending_holds_only_for_all_its_segments(folder: SegmentFolder) -> None:
    write(folder, 0)
    write(folder, 1)
    folder.end(2, ["2 damaged packets were skipped."])
    finished = folder.open(RECIPE)
    assert folder.ending(finished) == Ending(2, ("2 damaged packets were skipped.",))
    assert folder.ending(finished[:1]) is None


def test_discard_leaves_nothing_to_resume(folder: SegmentFolder) -> None:
    write(folder, 0)
    folder.end(1, [])
    folder.discard()
    assert folder.open(RECIPE) == []
    assert folder.ending([]) is None


def test_a_mark_tells_frames_apart_by_time_and_by_any_pixel() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    changed = pixels.copy()
    changed[3, 3, 2] = 1
    assert Mark.of(Frame(pixels, 5)) == Mark.of(Frame(pixels.copy(), 5))
    assert Mark.of(Frame(pixels, 5)) != Mark.of(Frame(pixels, 6))
    assert Mark.of(Frame(pixels, 5)) != Mark.of(Frame(changed, 5))
