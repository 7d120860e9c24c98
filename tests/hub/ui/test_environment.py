from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from hub.ui.environment import link_ffmpeg, prepare_environment


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def test_gradio_finds_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    link_ffmpeg(tmp_path / "bin")
    link_ffmpeg(tmp_path / "bin")

    found = shutil.which("ffmpeg")
    assert found == str(tmp_path / "bin" / "ffmpeg")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("ffmpeg version")
    assert os.environ["PATH"] == str(tmp_path / "bin")


def test_a_link_to_an_older_ffmpeg_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ffmpeg").symlink_to(tmp_path / "gone")

    assert link_ffmpeg(tmp_path).resolve() == Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_the_systems_ffmpeg_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "system"
    system.mkdir()
    (system / "ffmpeg").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(system))
    link_ffmpeg(tmp_path / "bin")

    assert shutil.which("ffmpeg") == str(system / "ffmpeg")


def test_gradio_stays_on_the_machine_and_in_the_data_directory(tmp_path: Path) -> None:
    prepare_environment(tmp_path / "page", tmp_path / "bin")

    from gradio.analytics import analytics_enabled
    from gradio.utils import get_upload_folder

    assert not analytics_enabled()
    assert get_upload_folder() == str((tmp_path / "page").resolve())
