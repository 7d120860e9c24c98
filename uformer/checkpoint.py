"""Checkpoints: a file of weights → the weights of a network. Strict, and plain about what is wrong with a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uformer.architecture import STAGE_NAMES, VARIANTS, UformerConfig, relative_position_index, weight_shapes
from uformer.weightfile import CheckpointError, WeightFile, open_weights

__all__ = ["CheckpointError", "CheckpointInfo", "Weights", "inspect", "load_weights", "variant_name"]

TRAIN_SIZES: Final = (128, 256)
FLOATS: Final = ("float16", "bfloat16", "float32", "float64")
# A constant of the window size that the official code keeps among the weights; some files lack it.
DERIVED: Final = ".relative_position_index"


@dataclass(frozen=True)
class Weights:
    """A network's weights, complete: contiguous arrays by name, shapes and order those of `weight_shapes(config)`."""

    config: UformerConfig
    arrays: Mapping[str, NDArray[np.float32]]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file of weights holds.

    variant: key of VARIANTS. train_size: 128 or 256. task: as the metadata tells, else None.
    dtype: the weights' type in the file, such as `float16`; `float32` where they differ.
    """

    variant: str
    train_size: int
    task: str | None
    metadata: dict[str, str]
    dtype: str


def load_weights(path: str | Path, train_size: int | None = None, variant: str | None = None) -> Weights:
    """Read the weights of one network from a file.

    path: .safetensors, or .pth/.pt as training scripts write them. Code in a file is never run.
    train_size: 128 or 256; None takes the file's metadata, else 128.
    variant: key of VARIANTS, which the weights must fit; needed only to tell `uformer_s_noshift` from
        `uformer_s`, whose weights look the same. None takes the file's metadata, else the shifting one.
    Raises CheckpointError (a ValueError) if the file does not hold one such network, whole and finite.
    """
    path = Path(path)
    with open_weights(path) as stored:
        name = _find_variant(path, stored, variant)
        config = replace(VARIANTS[name], train_size=_find_train_size(path, stored, train_size))
        expected_index = relative_position_index()
        for key in stored.shapes:
            if key.endswith(DERIVED) and not np.array_equal(stored.read(key), expected_index):
                raise CheckpointError(path, f"`{key}` is not that of 8x8 windows.")
        arrays: dict[str, NDArray[np.float32]] = {}
        for key in weight_shapes(config):
            with np.errstate(over="ignore"):  # It shows as an infinite value.
                arrays[key] = np.array(stored.read(key), np.float32, order="C")
            if not np.isfinite(arrays[key]).all():
                raise CheckpointError(path, f"`{key}` holds NaN or infinite values.")
    return Weights(config, arrays)


def inspect(path: str | Path) -> CheckpointInfo:
    """Tell what a file of weights holds, without building the network or reading the values.

    Raises CheckpointError as `load_weights` does, except for values that are not finite.
    """
    path = Path(path)
    with open_weights(path) as stored:
        variant = _find_variant(path, stored, None)
        types = {stored.dtypes[name] for name in _weights(stored.dtypes)}
        return CheckpointInfo(
            variant=variant,
            train_size=_find_train_size(path, stored, None),
            task=stored.metadata.get("task"),
            metadata=dict(stored.metadata),
            dtype=types.pop() if len(types) == 1 else "float32",
        )


def variant_name(config: UformerConfig) -> str:
    """The key of VARIANTS that `config` is, whatever its train size; raises ValueError for none."""
    for name, known in VARIANTS.items():
        if known == replace(config, train_size=known.train_size):
            return name
    raise ValueError(f"{config} is none of the variants {', '.join(VARIANTS)}.")


def _find_train_size(path: Path, stored: WeightFile, wanted: int | None) -> int:
    """The train size asked for, else the file's, else 128."""
    if wanted is not None:
        if wanted not in TRAIN_SIZES:
            raise ValueError(f"train_size must be 128 or 256, not {wanted}.")
        return wanted
    text = stored.metadata.get("train_size", "128")
    if text not in map(str, TRAIN_SIZES):
        raise CheckpointError(path, f"its metadata says train_size {text!r}, which must be 128 or 256.")
    return int(text)


def _find_variant(path: Path, stored: WeightFile, wanted: str | None) -> str:
    """The variant that the weights fit exactly; raises CheckpointError that says how they miss the nearest."""
    asked = None if wanted is None else _known_name(wanted)
    if wanted is not None and asked is None:
        raise ValueError(f"There is no variant {wanted!r}; known are {', '.join(VARIANTS)}.")
    shapes = {name: stored.shapes[name] for name in _weights(stored.shapes)}
    fitting = [name for name in _resembling(shapes) if _shapes(name) == shapes]
    if not fitting:
        raise CheckpointError(path, _difference(shapes))
    for name in shapes:
        if stored.dtypes[name] not in FLOATS:
            raise CheckpointError(path, f"`{name}` is of type {stored.dtypes[name]}, not one of {', '.join(FLOATS)}.")
    if asked is not None and asked not in fitting:
        raise CheckpointError(path, f"these are weights of {' or '.join(fitting)}, not of {asked}.")
    told = asked or _known_name(stored.metadata.get("variant", ""))
    return told if told in fitting else fitting[0]


def _resembling(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The variants with the embedding, the number of blocks and the modulators that the weights show."""
    embed_dim = shapes.get("input_proj.proj.0.bias", ())
    blocks = {match[0] for name in shapes if (match := re.match(rf"(?:{'|'.join(STAGE_NAMES)})\.blocks\.\d+\.", name))}
    modulator = any(name.endswith(".modulator.weight") for name in shapes)
    return [
        name
        for name, config in VARIANTS.items()
        if ((config.embed_dim,), sum(config.depths), config.modulator) == (embed_dim, len(blocks), modulator)
    ]


def _known_name(spelling: str) -> str | None:
    """The variant meant by `Uformer16`, `uformer_16`, `uformer-S-noshift`...; None for none."""
    letters = re.sub(r"[^a-z0-9]", "", spelling.lower())
    return next((name for name in VARIANTS if name.replace("_", "") == letters), None)


def _weights(names: Iterable[str]) -> list[str]:
    """The names of learned tensors among `names`."""
    return [name for name in names if not name.endswith(DERIVED)]


@cache
def _shapes(variant: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a variant's weights, by name."""
    return weight_shapes(VARIANTS[variant])


def _difference(found: Mapping[str, tuple[int, ...]]) -> str:
    """How weights miss the variant that they come nearest to."""

    def matching(variant: str) -> int:
        return sum(found.get(name) == shape for name, shape in _shapes(variant).items())

    nearest = max(VARIANTS, key=lambda name: (matching(name), -len(_shapes(name))))
    expected = _shapes(nearest)
    if 2 * matching(nearest) < len(expected):
        first = next(iter(found), "nothing")
        kind = "a Uformer of unknown size" if set(found) & set(expected) else "another architecture"
        return f"weights of {kind}, not of {', '.join(VARIANTS)} (it starts with `{first}` {found.get(first, ())})."
    parts = []
    if missing := [name for name in expected if name not in found]:
        parts.append(f"missing {_enumerate(missing)}")
    if surplus := [name for name in found if name not in expected]:
        parts.append(f"surplus {_enumerate(surplus)}")
    if wrong := [name for name in expected if name in found and found[name] != expected[name]]:
        name = wrong[0]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        parts.append(f"`{name}` has shape {found[name]}, not {expected[name]}{more}")
    return f"does not fit {nearest}: {'; '.join(parts)}."


def _enumerate(names: list[str]) -> str:
    """The first names, and how many more."""
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
