"""What a training run does: one readable TOML file per model."""

from __future__ import annotations

import tomllib
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from uformer.architecture import MULTIPLE, VARIANTS
from uformer.training.degradation import Blur, Degradation, Noise

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration is wrong; the message says where and what would be right."""


@dataclass(frozen=True)
class Optimisation:
    """AdamW with linear warm-up and a cosine that ends at a hundredth of the rate.

    batch: crops of a step. clip: greatest norm of the gradient. ema: how much of the averaged weights a step keeps.
    spectrum: weight of the loss between spectra beside the Charbonnier loss between pixels.
    """

    batch: int
    steps: int
    rate: float
    warm_up: int
    weight_decay: float
    clip: float
    ema: float
    spectrum: float


@dataclass(frozen=True)
class TrainingConfig:
    """task: `denoise` or `deblur`. crop: side of the crops in pixels. made: share of pictures that are not photos."""

    name: str
    task: str
    variant: str
    train_size: int
    crop: int
    made: float
    seed: int
    optimisation: Optimisation
    noise: Noise | None = None
    blur: Blur | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(f"variant: there is no {self.variant!r}; there are {', '.join(VARIANTS)}.")
        if self.crop % MULTIPLE or self.crop <= 0:
            raise ConfigError(f"crop: {self.crop} is not a multiple of {MULTIPLE}.")
        if (self.noise is None) == (self.blur is None):
            raise ConfigError("A run needs a table [noise] or a table [blur], and one of them only.")

    @property
    def degradation(self) -> Degradation:
        chosen = self.noise or self.blur
        if chosen is None:
            raise ConfigError("A run needs a table [noise] or a table [blur].")
        return chosen


def load_config(name: str | Path) -> TrainingConfig:
    """The configuration in a TOML file, or one that comes with this package, such as `denoise_16`.

    Raises ConfigError: no such file, not TOML, a key that is missing, unknown or of another type.
    """
    shipped = resources.files("uformer.training") / f"{name}.toml"
    path = Path(name)
    try:
        text = path.read_text("utf-8") if path.suffix == ".toml" else shipped.read_text("utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration {name}; name a .toml file or one that is shipped.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    return _read(TrainingConfig, table, "")


def _read(kind: type[T], table: dict[str, Any], where: str) -> T:
    """`table` as a dataclass, strictly."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}{key}: unknown; there are {', '.join(known)}.")
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], f"{where}{name}")
        elif field.default is MISSING:
            raise ConfigError(f"{where}{name}: missing.")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return _read(kind, value, f"{where}.")
    if get_origin(kind) is tuple and isinstance(value, list) and len(value) == len(get_args(kind)):
        return tuple(_value(part, item, where) for part, item in zip(get_args(kind), value, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise ConfigError(f"{where}: {value!r} is not {getattr(kind, '__name__', kind)}.")
