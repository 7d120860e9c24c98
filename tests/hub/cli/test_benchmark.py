"""What the hub costs on top of the network, measured for real; figures are checked loosely, for others run beside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from hub.cli.benchmark import running
from hub.cli.main import main
from hub.cli.own_server import OwnServer
from hub.client import HubClient
from hub.errors import HubError
from hub.settings import Settings


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_the_command(make_clip: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = make_clip("long.mp4", frames=400, size=(256, 192))
    before = sorted(tmp_path.iterdir())
    told = tmp_path / "told.json"

    assert main(["benchmark", "--size", "200", "150", "--rounds", "2", "--clip", str(clip), "--json", str(told)]) == 0

    figures = json.loads(told.read_text("utf-8"))
    assert (figures["photo"], figures["model"]) == ("200 x 150 pixels", "denoise_16")
    for name in ("network", "engine", "api", "in_flight", "beside_clip"):
        assert len(figures[name]) == 2
        assert all(seconds > 0 for seconds in figures[name])
    assert min(figures["network"]) < 2 * min(figures["api"])
    assert figures["fill"] == 1, "on a CPU a tile fills a batch"
    table = capsys.readouterr().out
    assert table.count("\n| ") == 1 + 5
    assert sorted(tmp_path.iterdir()) == sorted([*before, told]), "Nothing is left behind."


def test_a_model_that_is_not_installed_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--model", "denoise_b"]) == 1
    assert "python -m hub fetch denoise_b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ({"status": "completed", "result_path": "/a.mp4"}, "take a longer one"),
        ({"status": "failed", "error": "The disk is full."}, "The disk is full"),
    ],
)
def test_a_clip_that_ends_meanwhile_is_told_of(ending: dict[str, str], words: str) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json=ending))
    task_id = "a1b2c3d4-e5f6-7890-a1b2-c3d4e5f67890"
    with HubClient(transport=answer) as hub, pytest.raises(HubError, match=words):
        running(hub.task(task_id))


def test_a_folder_that_is_not_there_is_told_of_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--json", str(tmp_path / "nowhere" / "a.json")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="HUB_DEVICE: There is no device"), OwnServer(Settings(device="cuda:99")):
        pass
    assert not list(tmp_path.glob("hub-benchmark-*"))


def test_the_server_is_ready_and_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUB_API_KEYS", "a-key-of-twenty-four-char")
    with OwnServer(Settings(data_dir=tmp_path / "data")) as server:
        assert httpx.get(f"{server.address}/api/available_controls").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.address)
