from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from hub.cli.main import main
from hub.settings import CHECKOUT

MakeClip = Callable[..., Path]


@pytest.fixture(autouse=True)
def _quick_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch, which has nothing to compile first, and segments of the fewest frames."""
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HUB_CPU_BACKEND", "torch")
    monkeypatch.setenv("HUB_AUTO_FETCH", "0")
    monkeypatch.setenv("HUB_SEGMENT_SECONDS", "0.1")


def times(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_a_clip_is_restored(make_clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = make_clip("clip.mov", frames=10, sound=True), tmp_path / "out.mp4"
    assert main(["restore", str(source), "-o", str(output), "--start", "0.1", "--end", "0.3", "--no-temporal"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert times(output) == [Fraction(index, 25) for index in range(5)]
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.mp4"]


def test_photos_and_clips_of_a_folder_go_together(
    make_clip: MakeClip, noisy_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    make_clip("a.mkv", frames=2).rename(folder / "a.mkv")
    noisy_png.rename(folder / "b.png")
    output = tmp_path / "out"
    assert main(["restore", str(folder), "-o", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(output / "b.png"), str(output / "a.mp4")]
    assert len(times(output / "a.mp4")) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "out.mkv"], "out.mp4"),
        (["-o", "out.mp4", "--codec", "prores"], "out.mov"),
        (["-o", "out.mp4", "--start", "9"], "lasts from 0 to"),
        (["-o", "out.mp4", "--start", "2", "--end", "1"], "end must come after"),
        (["-o", "out.mp4", "--quality", "80"], "constant rate factor"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str],
    words: str,
    make_clip: MakeClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["restore", str(make_clip(frames=3)), *arguments]) != 0
    assert words in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))]


def test_a_gif_becomes_a_clip_if_its_result_is_named_like_one(noisy_photo: NDArray[np.uint8], tmp_path: Path) -> None:
    source, output = tmp_path / "a.gif", tmp_path / "out.mp4"
    pictures = [Image.fromarray(np.roll(noisy_photo, shift, axis=1)[:64, :96]) for shift in range(3)]
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=40)
    assert main(["restore", str(source), "-o", str(output)]) == 0
    assert len(times(output)) == 3


def test_a_clip_is_known_by_its_content(
    make_clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = make_clip(frames=2).rename(tmp_path / "trip 1.2"), tmp_path / "out"
    assert main(["restore", str(source), "-o", str(folder)]) == 0
    assert [path.name for path in folder.iterdir()] == ["trip 1.2.mp4"]


def test_nothing_is_left_of_a_run_that_finished_no_segment(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    command = ["restore", str(make_clip(frames=3)), "-o", str(folder / "out.mp4")]
    monkeypatch.setenv("HUB_MIN_FREE_MB", "1000000000")
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "free disk space" in told
    assert "kept" not in told
    assert list(folder.iterdir()) == []
    monkeypatch.delenv("HUB_MIN_FREE_MB")
    (folder / ".out.mp4.segments").mkdir()  # As a crash leaves them.
    (folder / ".out.mp4.segments.lock").touch()
    assert main(command) == 0
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]


def test_ctrl_c_keeps_what_is_finished_and_resume_goes_on(
    make_clip: MakeClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = make_clip(frames=40), tmp_path / "out.mp4"
    command = [sys.executable, "-m", "hub", "restore", str(source), "-o", str(output)]
    run = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        env=os.environ,
        # A shell may have its background jobs ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    folder = tmp_path / ".out.mp4.segments"
    deadline = time.monotonic() + 120
    while not (folder / "000000.json").exists():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert b"the same command with --resume goes on with them" in said
    assert not output.exists()
    assert not list(tmp_path.glob(".out.mp4.segments.*"))

    again = subprocess.run(command, cwd=CHECKOUT, capture_output=True, env=os.environ)
    assert again.returncode == 1
    assert b"--resume goes on with them" in again.stderr
    assert (folder / "000000.json").exists()

    left = sorted(folder.iterdir())
    assert main([*command[3:], "--resume", "--codec", "h265", "--quality", "14"]) == 1
    assert "differs in the codec and the quality: give the same options again" in capsys.readouterr().err
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        assert main([*command[3:], "--resume"]) == 1
    assert "Another run is restoring this clip" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == left

    assert main([*command[3:], "--resume"]) == 0
    assert times(output) == times(source)
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.mp4"]
