"""`python -m uformer.training`: train a model, in as many pieces as it takes, and export it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch

from uformer.architecture import VARIANTS
from uformer.model import Uformer
from uformer.modelfile import save_model
from uformer.training import checkpoints
from uformer.training.blur import MARGIN
from uformer.training.config import ConfigError, load_config
from uformer.training.dice import Dice
from uformer.training.photos import PhotoBank
from uformer.training.procedural import Procedural
from uformer.training.scenes import Scenes
from uformer.training.trainer import CHECKPOINT, LOG, Diverged, Trainer
from uformer.training.validation import Validation

# No step has this number, so the drawn pages are random of their own.
_PAGES = 2**32 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run_command(options)
    except (ConfigError, Diverged, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m uformer.training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="begin a run, or go on with it where it ended")
    train.add_argument("config", help="denoise_16, deblur_16 or a .toml file")
    train.add_argument("--photos", type=Path, required=True, help="folder of photos to learn from")
    train.add_argument("--validation", type=Path, required=True, help="folder of photos to measure on")
    train.add_argument("--run", type=Path, required=True, help="folder of the checkpoint and the log")
    train.add_argument("--init", type=Path, help="file of a model whose weights a new run starts from")
    train.add_argument(
        "--minutes", type=float, help="stop after so long, with a checkpoint (default: when all is done)"
    )
    train.add_argument("--steps", type=int, help="length of the whole schedule, instead of the configuration's")
    train.add_argument("--batch", type=int, help="crops of a step, instead of the configuration's")
    train.add_argument("--rate", type=float, help="highest learning rate, instead of the configuration's")
    train.add_argument("--validate-steps", type=int, default=2000, help="steps between measurements (default: 2000)")
    train.add_argument("--validate-images", type=int, default=12, help="photos of a measurement (default: 12)")
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: on a GPU")
    train.set_defaults(run_command=_train)

    export = commands.add_parser("export", help="write a run's averaged weights as a model, in float16")
    export.add_argument("run", type=Path)
    export.add_argument("file", type=Path, help="such as weights/denoise_16.safetensors")
    export.set_defaults(run_command=_export)

    curve = commands.add_parser("curve", help="draw how a run's PSNR and SSIM grew (needs matplotlib)")
    curve.add_argument("run", type=Path)
    curve.add_argument("file", type=Path, help="such as docs/images/denoise_16.png")
    curve.set_defaults(run_command=_curve)
    return parser


def _train(options: argparse.Namespace) -> None:
    config = load_config(options.config)
    changes = {name: getattr(options, name) for name in ("steps", "batch", "rate") if getattr(options, name)}
    config = replace(config, optimisation=replace(config.optimisation, **changes))
    device = torch.device(options.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    side = config.crop + 2 * MARGIN if config.blur else config.crop
    scenes = Scenes(PhotoBank(options.photos, side, device), Procedural(Dice(config.seed, _PAGES, device)), config.made)
    validation = Validation(options.validation, config.task, device, options.validate_images)
    compiled = device.type == "cuda" if options.compile is None else options.compile
    trainer = Trainer(config, scenes, options.run, device, compiled=compiled, initial=options.init)
    stop = _stop_after(options.minutes)
    trainer.train(stop, validation=validation, validate_steps=options.validate_steps)


def _stop_after(minutes: float | None) -> Callable[[], bool]:
    """Whether to stop: after so many minutes from now, or once the process was asked to end."""
    deadline = time.monotonic() + (60 * minutes if minutes is not None else float("inf"))
    asked: list[int] = []

    def ask(number: int, _: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return lambda: bool(asked) or time.monotonic() >= deadline


def _export(options: argparse.Namespace) -> None:
    kept = checkpoints.load(options.run / CHECKPOINT)
    if kept is None:
        raise ValueError(f"{options.run} has no checkpoint.")
    tensors, facts = kept
    config = facts["config"]
    model = Uformer(replace(VARIANTS[config["variant"]], train_size=config["train_size"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"averaged.{name}"])
    save_model(model, options.file, {"task": config["task"], "steps": str(facts["step"])}, torch.float16)


def _curve(options: argparse.Namespace) -> None:
    from uformer.training.curve import draw

    draw(options.run / LOG, options.file)


if __name__ == "__main__":
    sys.exit(main())
