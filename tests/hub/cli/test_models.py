from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from hub.cli.main import main
from hub.settings import CHECKOUT
from uformer.architecture import VARIANTS
from uformer.model import Uformer
from uformer.modelfile import load_model


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served as the official address."""
    folder = tmp_path / "official"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HUB_FETCH_URLS", json.dumps([f"http://127.0.0.1:{server.server_port}"]))
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_models_are_listed_with_what_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path))
    assert main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() >= {"denoise_16", "denoise_16_sidd", "denoise_b", "deblur_b"}
    assert rows["denoise_16"].split()[1:] == ["denoise", "MIT", "installed"]
    assert rows["deblur_b"].endswith("not installed: python -m hub fetch deblur_b")

    assert main(["models", "--task", "deblur"]) == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()} == {"deblur"}


def test_a_file_that_is_no_model_is_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HUB_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"not weights")
    assert main(["models"]) == 0
    assert "unusable: mine.safetensors" in capsys.readouterr().out


def test_an_unknown_task_is_answered_with_the_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--task", "sharpen"]) == 2
    assert "denoise, deblur" in capsys.readouterr().err


def test_fetch_installs_the_network_alone(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = Uformer(VARIANTS["uformer_16"]).eval()
    checkpoint = {"epoch": 1, "state_dict": model.state_dict(), "optimizer": {"state": {}}}
    torch.save(checkpoint, official / "uformer16_denoising_sidd.pth")

    assert main(["fetch", "denoise_16_sidd"]) == 0
    installed = Path(capsys.readouterr().out.strip())
    assert installed.name == "denoise_16_sidd.safetensors"
    fetched = load_model(installed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fetched.parameters(), strict=True))

    assert main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows["denoise_16_sidd"].endswith("installed")


def test_fetch_reports_what_fails_and_goes_on(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(official.iterdir()) == []
    assert main(["fetch", "denoise_b", "denoise_16"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: denoise_b: ")
    assert Path(told.out.strip()) == CHECKOUT / "weights" / "denoise_16.safetensors"


def test_an_unknown_model_is_answered_with_the_valid_ones(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "denoise_99"]) == 2
    assert "denoise_16, " in capsys.readouterr().err
