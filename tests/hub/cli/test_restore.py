from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hub.cli.main import main
from hub.jobs.model import Status
from hub.service import Hub, PhotoOptions
from hub.settings import CHECKOUT, Settings
from uformer.architecture import VARIANTS
from uformer.model import Uformer
from uformer.modelfile import save_model


@pytest.fixture(autouse=True)
def _quick_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch, which has nothing to compile first."""
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HUB_CPU_BACKEND", "torch")
    monkeypatch.setenv("HUB_AUTO_FETCH", "0")


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def test_a_restored_photo_is_closer_to_the_clean_one(
    noisy_png: Path, clean_photo: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.png"
    assert main(["restore", str(noisy_png), "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert pixels(output).shape == clean_photo.shape
    assert psnr(pixels(output), clean_photo) > psnr(pixels(noisy_png), clean_photo) + 6


def test_the_server_gives_the_same_pixels(noisy_png: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    assert main(["restore", str(noisy_png), "-o", str(output), "--strength", "0.7"]) == 0
    hub = Hub(Settings(data_dir=tmp_path / "server", cpu_backend="torch", auto_fetch=False))
    hub.start()
    try:
        with io.BytesIO(noisy_png.read_bytes()) as stream:
            job = hub.submit_photo(stream, "noisy.png", PhotoOptions(strength=0.7))
        done = hub.manager.wait(job.id, timeout=120).job
        assert done.status is Status.COMPLETED, done.error
        assert done.result_path is not None
        served = pixels(hub.result_file(done.result_path))
    finally:
        hub.stop()
    assert np.abs(pixels(output).astype(int) - served).max() <= 1


def test_a_bad_file_is_reported_and_the_run_goes_on(
    noisy_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    for name in ("a.png", "trip/b.png"):
        (folder / name).write_bytes(noisy_png.read_bytes())
    output = tmp_path / "out"

    assert main(["restore", str(folder), str(tmp_path / "gone.png"), "-o", str(output)]) == 1
    told = capsys.readouterr()
    assert sorted(told.out.splitlines()) == [str(output / "a.png"), str(output / "trip" / "b.png")]
    assert sorted(path for path in output.rglob("*") if path.is_file()) == [output / "a.png", output / "trip" / "b.png"]
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [str(tmp_path / "gone.png"), str(folder / "broken.jpg")]


def test_an_existing_file_is_replaced_only_when_told(
    noisy_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    kept = output / noisy_png.name
    kept.write_bytes(b"precious")
    assert main(["restore", str(noisy_png), "-o", str(output)]) == 1
    assert kept.read_bytes() == b"precious"
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["restore", str(noisy_png), "-o", str(output), "--overwrite"]) == 0
    assert pixels(kept).shape == pixels(noisy_png).shape


def test_two_photos_of_one_name_do_not_replace_each_other(
    noisy_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other" / noisy_png.name
    other.parent.mkdir()
    other.write_bytes(noisy_png.read_bytes())
    assert main(["restore", str(noisy_png), str(other), "-o", str(tmp_path / "out"), "--overwrite"]) == 1
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'out' / noisy_png.name}\n"
    assert "restore this one to another folder" in told.err


def test_strength_zero_keeps_the_photo(noisy_png: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tiff"
    assert main(["restore", str(noisy_png), "-o", str(output), "--strength", "0"]) == 0
    assert np.array_equal(pixels(output), pixels(noisy_png))


def test_tiles_and_the_whole_agree(noisy_png: Path, tmp_path: Path) -> None:
    whole, tiles = tmp_path / "whole.png", tmp_path / "tiles.png"
    float32 = ["--precision", "float32", "--device", "cpu"]
    assert main(["restore", str(noisy_png), "-o", str(whole), "--whole", *float32]) == 0
    assert main(["restore", str(noisy_png), "-o", str(tiles), "--tile", "128", "--overlap", "64", *float32]) == 0
    assert np.abs(pixels(whole).astype(int) - pixels(tiles)).max() <= 2


def test_weights_of_ones_own(noisy_png: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "mine.safetensors"
    save_model(Uformer(VARIANTS["uformer_16"]), weights)
    output = tmp_path / "out.png"
    assert main(["restore", str(noisy_png), "-o", str(output), "--weights", str(weights)]) == 0
    assert pixels(output).shape == pixels(noisy_png).shape

    assert main(["restore", str(noisy_png), "-o", str(output), "--weights", str(noisy_png)]) == 2
    assert noisy_png.name in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (["--task", "sharpen"], 2, "denoise, deblur"),
        (["--model", "denoise_99"], 2, "denoise_16"),
        (["--task", "deblur", "--model", "denoise_16"], 2, "deblur_b"),
        (["--model", "deblur_b"], 1, "python -m hub fetch deblur_b"),
        (["--weights", "gone.pth"], 2, "gone.pth"),
        (["--tile", "128", "--overlap", "100"], 2, "half a tile"),
        (["--device", "cuda:99"], 2, "cpu"),
    ],
)
def test_a_model_that_cannot_be_used_is_told_before_anything_is_written(
    options: list[str],
    status: int,
    complaint: str,
    noisy_png: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["restore", str(noisy_png), "-o", str(tmp_path / "out"), *options]) == status
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert complaint in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_half_written_file(
    sent: signal.Signals, status: int, noisy_png: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a-small.png").write_bytes(noisy_png.read_bytes())
    Image.effect_noise((2000, 1500), 80).convert("RGB").save(folder / "b-large.png", compress_level=1)
    output = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "hub", "restore", str(folder), "-o", str(output), "--tile", "128"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "HUB_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background makes them, and what they start, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == f"{output / 'a-small.png'}\n"
        run.send_signal(sent)
        _, told = run.communicate(timeout=60)
    assert run.returncode == status, told
    assert "Traceback" not in told
    assert [path.name for path in output.iterdir()] == ["a-small.png"]


def test_openvino_restores_without_pytorch(noisy_png: Path, tmp_path: Path) -> None:
    """In a process of its own, as this one has imported it."""
    code = (
        "import sys; from hub.cli.main import main;"
        f"status = main(['restore', {str(noisy_png)!r}, '-o', {str(tmp_path / 'b.png')!r}, '--device', 'cpu']);"
        "sys.exit(status or 'torch' in sys.modules)"
    )
    environment = os.environ | {"HUB_CPU_BACKEND": "openvino"}
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment, timeout=120, check=False)
    assert done.returncode == 0
    assert (tmp_path / "b.png").exists()
