"""What the README promises is run as it stands there, from a folder that holds a photo."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image

from hub.catalog import Catalog
from hub.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
START_SECONDS = 120


def block(language: str, word: str) -> str:
    """The one code block of a language that contains `word`."""
    (found,) = [text for name, text in BLOCKS if name == language and word in text]
    return str(found)


@pytest.fixture
def folder(tmp_path: Path, noisy_png: Path, make_clip: Callable[..., Path]) -> Path:
    """Where the reader stands: a photo, a folder of photos, a clip, the environment and the weights of the checkout."""
    here = tmp_path / "reader"
    (here / "more-photos").mkdir(parents=True)
    with Image.open(noisy_png) as photo:
        photo.save(here / "photo.jpg", quality=90)
        photo.save(here / "more-photos" / "another.png")
    make_clip("reader/clip.mov", times=range(0, 4000, 250))
    (here / ".venv").symlink_to(sys.prefix)
    (here / "weights").symlink_to(ROOT / "weights")
    return here


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HUB_DATA_DIR": str(tmp_path / "data"),
        "HUB_AUTO_FETCH": "0",
        "VENV": sys.prefix,
    }


@pytest.fixture
def server(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The first command of the README, running; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ROOT / "scripts" / "serve"],
            env={**environment, "HUB_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{address}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a program as the reader would; returns what it printed."""
    done = subprocess.run(
        arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_restored(path: Path) -> None:
    """The file is a photo of the right size, and not the one that was sent."""
    with Image.open(path) as restored, Image.open(path.parent / "photo.jpg") as sent:
        assert restored.format == "JPEG"
        assert restored.size == sent.size
        assert restored.tobytes() != sent.tobytes()


def test_it_opens_with_the_two_commands() -> None:
    assert BLOCKS[:2] == [("bash", "scripts/serve\n"), ("bash", "scripts/test\n")]
    for name in ("serve", "test", "setup"):
        assert os.access(ROOT / "scripts" / name, os.X_OK)


def test_the_api_with_curl(server: str, folder: Path, environment: dict[str, str]) -> None:
    code = block("bash", "curl").replace("http://127.0.0.1:8000", server)
    run(["bash", "-euo", "pipefail", "-c", code], folder, environment)
    assert_restored(folder / "restored.jpg")


def test_the_api_with_python(server: str, folder: Path, environment: dict[str, str]) -> None:
    code = block("python", "hub.client").replace("http://127.0.0.1:8000", server)
    run([sys.executable, "-c", code], folder, environment)
    assert_restored(folder / "restored.jpg")


def test_the_api_with_gradios_client(server: str, folder: Path, environment: dict[str, str]) -> None:
    code = block("python", "gradio_client").replace("http://127.0.0.1:8000", server)
    told = run([sys.executable, "-c", code], folder, {**environment, "GRADIO_TEMP_DIR": str(folder)})
    Path(told.splitlines()[-1]).rename(folder / "restored.jpg")
    assert_restored(folder / "restored.jpg")


def test_the_command_line(folder: Path, environment: dict[str, str]) -> None:
    told = run(["bash", "-euo", "pipefail", "-c", block("bash", "hub restore")], folder, environment)
    assert_restored(folder / "restored.jpg")
    assert {path.name for path in (folder / "restored").iterdir()} == {"photo.jpg", "another.png"}
    with av.open(folder / "restored.mp4") as clip:
        assert [float(frame.time) for frame in clip.decode(video=0)] == [0, 0.25, 0.5, 0.75, 1, 1.25]
    assert "denoise_16" in told
    assert "HUB_PORT=8000" in told


def test_the_network_in_python(folder: Path, environment: dict[str, str]) -> None:
    code = block("python", "load_model") + "print(tuple(restored.shape))\n"
    assert run([sys.executable, "-c", code], folder, environment) == "(1, 3, 128, 256)\n"


def test_every_setting_that_it_names_exists() -> None:
    named = set(re.findall(r"\bHUB_([A-Z_]+)\b", README))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_its_models_are_the_catalogs(tmp_path: Path) -> None:
    table = README.partition("| name | task | weights |")[2].partition("\n\n")[0]
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "manifest.json").write_bytes((ROOT / "weights" / "manifest.json").read_bytes())
    models = Catalog(weights, tmp_path).models()
    assert sorted(rows) == sorted(
        [entry.name, entry.task, "official, fetched" if entry.source else "shipped"] for entry in models
    )


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).is_file(), target
