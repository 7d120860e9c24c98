"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uformer.architecture import VARIANTS
from uformer.checkpoint import variant_name
from uformer.model import Uformer
from uformer.modelfile import load_model
from uformer.training import checkpoints
from uformer.training.config import ConfigError, Optimisation, TrainingConfig
from uformer.training.dice import Dice
from uformer.training.loss import restoration_loss
from uformer.training.scenes import Scenes
from uformer.training.validation import Validation

CHECKPOINT = "checkpoint"
LOG = "log.jsonl"
_LOG_STEPS = 50
_LAST_RATE = 0.01


class Diverged(ArithmeticError):
    """The loss is no longer a number; the last checkpoint is from before that."""


def rate_at(step: int, plan: Optimisation) -> float:
    """The learning rate of a step: a linear rise, then half a cosine down to a hundredth."""
    if step < plan.warm_up:
        return plan.rate * (step + 1) / plan.warm_up
    done = min((step - plan.warm_up) / max(plan.steps - plan.warm_up, 1), 1.0)
    return plan.rate * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """One run in one folder: goes on where the folder's checkpoint ended.

    run: gets `checkpoint/` and `log.jsonl`, a JSON object per line.
    compiled: whether the network goes through torch.compile.
    initial: file of a trained model of the same network, whose weights a new run starts from.
    Raises ConfigError if the checkpoint belongs to another network or other data, or `initial` to another network;
    what `load_weights` raises of it.
    """

    def __init__(
        self,
        config: TrainingConfig,
        scenes: Scenes,
        run: Path,
        device: torch.device,
        *,
        compiled: bool = False,
        initial: Path | None = None,
    ) -> None:
        self.config = config
        self._scenes = scenes
        self._run = run
        self._device = device
        torch.manual_seed(config.seed)
        network = replace(VARIANTS[config.variant], train_size=config.train_size)
        self._model = Uformer(network)
        self._initial = initial
        if initial is not None:
            self._take_weights(initial)
        self._model.to(device)
        self.averaged = Uformer(network).to(device).eval().requires_grad_(False)
        self.averaged.load_state_dict(self._model.state_dict())
        plan = config.optimisation
        self._optimiser = torch.optim.AdamW(
            self._parameter_groups(plan.weight_decay), lr=plan.rate, betas=(0.9, 0.99), fused=device.type == "cuda"
        )
        self.step = 0
        self.seconds = 0.0
        self._resume()
        self._forward: Callable[[Tensor], Tensor] = torch.compile(self._model) if compiled else self._model

    def train(
        self, stop: Callable[[], bool], *, validation: Validation, validate_steps: int, save_seconds: float = 300.0
    ) -> None:
        """Take steps until the plan is done or `stop` says so; then save. Raises Diverged."""
        self._log(
            began=self.step,
            device=_device_name(self._device),
            torch=torch.__version__,
            initial=self._initial and self._initial.name,
            config=asdict(self.config),
        )
        begun, steps_before, saved = time.monotonic(), self.step, time.monotonic()
        past = self.seconds
        while self.step < self.config.optimisation.steps and not stop():
            loss = self._take_step()
            now = time.monotonic()
            self.seconds = past + now - begun
            if self.step % _LOG_STEPS == 0:
                value = float(loss)
                if not math.isfinite(value):
                    raise Diverged(f"The loss is {value} at step {self.step}.")
                pace = (self.step - steps_before) * self.config.optimisation.batch / (time.monotonic() - begun)
                self._log(step=self.step, loss=value, seconds=round(self.seconds, 1), crops_per_second=round(pace, 1))
            if self.step % validate_steps == 0:
                self._log(step=self.step, validation=validation.measure(self.averaged))
            if now - saved >= save_seconds:
                self.save()
                saved = time.monotonic()
        self.seconds = past + time.monotonic() - begun
        self._log(step=self.step, validation=validation.measure(self.averaged))
        self.save()

    def save(self) -> None:
        """Write the checkpoint.

        The optimiser's moments are kept in bfloat16, here too: so a run that goes on and one that is resumed are one.
        """
        tensors: dict[str, Tensor] = {}
        for name, parameter in self._model.named_parameters():
            tensors[f"model.{name}"] = parameter
            tensors[f"averaged.{name}"] = self.averaged.get_parameter(name)
            state = self._optimiser.state.get(parameter, {})
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in state:
                    rounded = state[moment].bfloat16()
                    state[moment].copy_(rounded)
                    tensors[f"{moment}.{name}"] = rounded
        facts = {"step": self.step, "seconds": self.seconds, "config": asdict(self.config)}
        checkpoints.save(self._run / CHECKPOINT, tensors, facts)

    def _take_step(self) -> Tensor:
        plan = self.config.optimisation
        dice = Dice(self.config.seed, self.step, self._device)
        degraded, clean = self.config.degradation.pairs(self._scenes, plan.batch, self.config.crop, dice)
        rate = rate_at(self.step, plan)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self._device.type, torch.bfloat16):
            restored = self._forward(degraded)
        loss = restoration_loss(restored.float(), clean, plan.spectrum)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), plan.clip)
        self._optimiser.step()
        self.step += 1
        # The first weights are random: what is averaged forgets them soon.
        keep = min(plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self._model.parameters()), 1 - keep)
        return loss.detach()

    def _parameter_groups(self, decay: float) -> list[dict[str, Any]]:
        """Weight decay pulls at matrices and kernels alone, not at biases, norms and position biases."""
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, parameter in self._model.named_parameters():
            plain = parameter.ndim < 2 or "bias" in name or "modulator" in name
            (others if plain else matrices).append(parameter)
        return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]

    def _take_weights(self, path: Path) -> None:
        given = load_model(path)
        if given.config != self._model.config:
            kind = f"{variant_name(given.config)} with a train size of {given.config.train_size}"
            wanted = f"{self.config.variant} with one of {self.config.train_size}"
            raise ConfigError(f"{path} holds {kind}; this run trains {wanted}.")
        self._model.load_state_dict(given.state_dict())

    def _resume(self) -> None:
        kept = checkpoints.load(self._run / CHECKPOINT)
        if kept is None:
            return
        tensors, facts = kept
        # Another schedule may follow; another network or other data would be another run.
        now, then = json.loads(json.dumps(asdict(self.config))), facts["config"]
        changed = [key for key in now if key != "optimisation" and now[key] != then.get(key)]
        if changed:
            raise ConfigError(f"{self._run} was begun with another {', '.join(changed)}; choose another folder.")
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
                self.averaged.get_parameter(name).copy_(tensors[f"averaged.{name}"])
                if f"exp_avg.{name}" in tensors:
                    self._optimiser.state[parameter] = {
                        "step": torch.tensor(float(facts["step"]), device=self._device if self._fused else "cpu"),
                        "exp_avg": tensors[f"exp_avg.{name}"].to(self._device, torch.float32),
                        "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(self._device, torch.float32),
                    }
        self.step, self.seconds = facts["step"], facts["seconds"]

    @property
    def _fused(self) -> bool:
        return self._device.type == "cuda"

    def _log(self, **facts: Any) -> None:
        self._run.mkdir(parents=True, exist_ok=True)
        line = json.dumps(facts)
        with (self._run / LOG).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, flush=True)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
