"""Runs on two crops a step: they learn, go on where they ended, and survive a crash while saving."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from uformer.architecture import VARIANTS, UformerConfig
from uformer.checkpoint import inspect
from uformer.model import Uformer
from uformer.modelfile import load_model, save_model
from uformer.training import checkpoints
from uformer.training.__main__ import main
from uformer.training.config import ConfigError, TrainingConfig, load_config
from uformer.training.scenes import Scenes
from uformer.training.trainer import CHECKPOINT, LOG, Diverged, Trainer, rate_at
from uformer.training.validation import Validation

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")
TINY = "tiny"


@pytest.fixture(autouse=True)
def tiny_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of every part there is, in the smallest size: what a loop does is the same for it."""
    monkeypatch.setitem(VARIANTS, TINY, UformerConfig(4, (2,) * 9, modulator=True, num_heads=(1,) * 9))


def config(**changes: object) -> TrainingConfig:
    shipped = load_config("denoise_16")
    plan = replace(shipped.optimisation, batch=2, warm_up=5, **changes)  # type: ignore[arg-type]
    return replace(shipped, variant=TINY, optimisation=plan)


@pytest.fixture(scope="session")
def validation(photos: Path) -> Validation:
    return Validation(photos, "denoise", CPU, 1)


def steps(number: int) -> object:
    left = iter([False] * number + [True])
    return lambda: next(left)


def train(trainer: Trainer, number: int, validation: Validation) -> None:
    trainer.train(steps(number), validation=validation, validate_steps=10**6)  # type: ignore[arg-type]


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / LOG).read_text("utf-8").splitlines()]


def test_a_resumed_run_is_the_run_that_went_on(tmp_path: Path, scenes: Scenes, validation: Validation) -> None:
    whole = Trainer(config(), scenes, tmp_path / "whole", CPU)
    train(whole, 2, validation)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    train(whole, 2, validation)
    resumed = Trainer(config(), scenes, tmp_path / "resumed", CPU)
    assert resumed.step == 2
    train(resumed, 2, validation)

    first, second = (checkpoints.load(tmp_path / run / CHECKPOINT) for run in ("whole", "resumed"))
    assert first is not None
    assert second is not None
    assert first[1]["step"] == second[1]["step"] == 4
    assert first[0].keys() == second[0].keys()
    assert len({name.split(".")[0] for name in first[0]}) == 4
    for name, tensor in first[0].items():
        assert torch.equal(tensor, second[0][name]), name
    assert second[1]["seconds"] > 0
    assert [line["began"] for line in lines(tmp_path / "resumed") if "began" in line] == [0, 2]


def test_parts_are_small_enough_to_be_carried(tmp_path: Path, scenes: Scenes) -> None:
    trainer = Trainer(replace(config(), variant="uformer_16"), scenes, tmp_path, CPU)
    for parameter in trainer._model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer._optimiser.step()
    trainer.save()

    files = list((tmp_path / CHECKPOINT).iterdir())
    assert len(files) <= 7, "With the log, eight."
    assert max(file.stat().st_size for file in files) < 16 << 20
    assert sum(file.stat().st_size for file in files) < 63 << 20


def test_it_learns(tmp_path: Path, scenes: Scenes, validation: Validation) -> None:
    """The same two crops again and again: the network comes to know them."""
    trainer = Trainer(config(rate=3e-3), scenes, tmp_path, CPU)
    losses = []
    for _ in range(20):
        losses.append(float(trainer._take_step()))
        trainer.step = 10  # The step decides the pictures.

    assert min(losses[-5:]) < 0.8 * losses[0], losses


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(
    tmp_path: Path, scenes: Scenes, validation: Validation
) -> None:
    trainer = Trainer(config(), scenes, tmp_path, CPU)
    train(trainer, 1, validation)
    trainer.step = 49
    with torch.no_grad():
        next(trainer._model.parameters()).fill_(float("nan"))

    with pytest.raises(Diverged, match="nan at step 50"):
        train(trainer, 1, validation)
    assert Trainer(config(), scenes, tmp_path, CPU).step == 1


def test_a_run_may_start_from_a_trained_model(tmp_path: Path, scenes: Scenes, validation: Validation) -> None:
    """From its weights at first, and from its own once it has a checkpoint."""
    torch.manual_seed(5)
    trained = Uformer(replace(VARIANTS[TINY], train_size=128))
    file = tmp_path / "trained.safetensors"
    save_model(trained, file)
    run = Trainer(config(), scenes, tmp_path / "run", CPU, initial=file)
    for parameters in (run._model.state_dict(), run.averaged.state_dict()):
        for name, weight in trained.state_dict().items():
            assert torch.equal(parameters[name], weight), name
    train(run, 1, validation)
    assert lines(tmp_path / "run")[0]["initial"] == "trained.safetensors"

    resumed = Trainer(config(), scenes, tmp_path / "run", CPU, initial=file)
    assert resumed.step == 1
    for name, weight in run._model.state_dict().items():
        assert torch.equal(resumed._model.state_dict()[name], weight), name


def test_another_networks_weights_are_no_start(tmp_path: Path, scenes: Scenes) -> None:
    shipped = ROOT / "weights/denoise_16.safetensors"
    with pytest.raises(ConfigError, match=r"holds uformer_16 with a train size of 128; this run trains tiny"):
        Trainer(config(), scenes, tmp_path, CPU, initial=shipped)


def test_another_run_is_not_gone_on_with(tmp_path: Path, scenes: Scenes, validation: Validation) -> None:
    train(Trainer(config(), scenes, tmp_path, CPU), 1, validation)

    Trainer(config(steps=5), scenes, tmp_path, CPU)  # Another schedule is fine.
    with pytest.raises(ConfigError, match="another made"):
        Trainer(replace(config(), made=0.5), scenes, tmp_path, CPU)


@pytest.mark.parametrize("gone", ["checkpoint", "checkpoint.new"])
def test_a_crash_while_saving_leaves_one_whole_state(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "checkpoint"
    checkpoints.save(folder, {"a": torch.ones(3)}, {"step": 1})
    if gone == "checkpoint":  # Killed between the two renames.
        folder.rename(tmp_path / "checkpoint.old")
    else:  # Killed while the new one was written.
        (tmp_path / "checkpoint.new").mkdir()
        (tmp_path / "checkpoint.new" / "part-0.safetensors").write_bytes(b"half")

    kept = checkpoints.load(folder)
    assert kept is not None
    assert torch.equal(kept[0]["a"], torch.ones(3))
    checkpoints.save(folder, {"a": torch.zeros(3)}, {"step": 2})
    assert checkpoints.load(folder)[1] == {"step": 2}  # type: ignore[index]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_rate_rises_and_falls() -> None:
    plan = replace(load_config("denoise_16").optimisation, rate=1.0, warm_up=10, steps=110)
    rates = [rate_at(step, plan) for step in range(130)]

    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1)
    assert rates[60] == pytest.approx(0.505)
    assert rates[110] == rates[129] == pytest.approx(0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("task", ["denoise", "deblur"])
def test_measurements(photos: Path, task: str) -> None:
    """Of a network that returns its input: nothing is gained, and white noise has the PSNR it must have."""
    scores = Validation(photos, task, CPU, 2).measure(torch.nn.Identity())

    for score in scores.values():
        assert (score["psnr"], score["ssim"]) == (score["input_psnr"], score["input_ssim"])
    if task == "denoise":
        assert scores["sigma 15"]["psnr"] == pytest.approx(24.9, abs=0.5)
        assert list(scores) == ["sigma 15", "sigma 25", "sigma 50"]
    else:
        assert scores["sharp"]["psnr"] == 100
        assert 20 < scores["shake"]["psnr"] < 60


def test_the_command_trains_exports_and_draws(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, model, curve = tmp_path / "run", tmp_path / "deblur_16.safetensors", tmp_path / "curve.png"
    command = ["train", "deblur_16", "--photos", str(photos), "--validation", str(photos), "--run", str(run)]
    assert main([*command, "--steps", "1", "--batch", "1", "--validate-images", "1", "--device", "cpu"]) == 0
    assert "sharp" in capsys.readouterr().out

    assert main(["export", str(run), str(model)]) == 0
    info = inspect(model)
    assert (info.variant, info.task, info.dtype, info.metadata["steps"]) == ("uformer_16", "deblur", "float16", "1")
    assert load_model(model).config.train_size == 128
    assert main(["curve", str(run), str(curve)]) == 0
    assert curve.read_bytes()[:4] == b"\x89PNG"


def test_errors_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "x.safetensors"]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path} has no checkpoint.\n"
