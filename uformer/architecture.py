"""What Uformers are, apart from any library that runs them: variants, windows, names and shapes of weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 8
TOKENS: Final = WINDOW * WINDOW
SHIFT: Final = WINDOW // 2
STAGES: Final = 4
# Sides must divide into windows at the lowest resolution.
MULTIPLE: Final = WINDOW * 2**STAGES
# How many times as many channels a feed-forward layer has inside.
WIDENING: Final = 4
# What the paper's code adds to the score of two tokens that a cyclic shift made neighbours.
MASKED: Final = -100.0
# Encoder, bottleneck, decoder; the official code's names.
STAGE_NAMES: Final = (
    *(f"encoderlayer_{index}" for index in range(STAGES)),
    "conv",
    *(f"decoderlayer_{index}" for index in range(STAGES)),
)


@dataclass(frozen=True)
class UformerConfig:
    """What tells one Uformer from another.

    depths: blocks of the four encoder stages, the bottleneck and the four decoder stages.
    modulator: decoder windows carry a learned offset per token.
    shift: every second block shifts its windows.
    train_size: side in pixels of the official code's `img_size`. A stage whose resolution is one
        window at that size never shifts, whatever the image: at 128 the bottleneck, at 256 none.
    """

    embed_dim: int
    depths: tuple[int, ...]
    modulator: bool
    shift: bool = True
    train_size: int = 128
    num_heads: tuple[int, ...] = (1, 2, 4, 8, 16, 16, 8, 4, 2)

    def __post_init__(self) -> None:
        if len(self.depths) != 2 * STAGES + 1 or len(self.num_heads) != len(self.depths):
            raise ValueError(f"depths and num_heads need {2 * STAGES + 1} numbers each.")
        if self.train_size not in (128, 256):
            raise ValueError(f"train_size must be 128 or 256, not {self.train_size}.")

    def level(self, stage: int) -> int:
        """How often the resolution was halved at a stage."""
        return min(stage, 2 * STAGES - stage)

    def width(self, stage: int) -> int:
        """Channels of a stage; a decoder's also carries what the encoder stage of its level hands over."""
        return self.embed_dim << self.level(stage) + (stage > STAGES)

    def shifts(self, stage: int, block: int) -> bool:
        """Whether a block of a stage shifts its windows."""
        return self.shift and block % 2 == 1 and self.train_size >> self.level(stage) > WINDOW

    def modulates(self, stage: int) -> bool:
        """Whether a stage's windows carry offsets."""
        return self.modulator and stage > STAGES


VARIANTS: Final[dict[str, UformerConfig]] = {
    "uformer_16": UformerConfig(16, (2,) * 9, modulator=False),
    "uformer_t": UformerConfig(16, (2,) * 9, modulator=True),
    "uformer_s": UformerConfig(32, (2,) * 9, modulator=True),
    "uformer_s_noshift": UformerConfig(32, (2,) * 9, modulator=True, shift=False),
    "uformer_b": UformerConfig(32, (1, 2, 8, 8, 2, 8, 8, 2, 1), modulator=True),
}


def weight_shapes(config: UformerConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of all learned weights, by their official names, `dowsample_0` included; in the network's order."""
    return dict(_weight_shapes(config))


def _weight_shapes(config: UformerConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    def layer(name: str, *shape: int, out: int | None = None) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        yield f"{name}.bias", (shape[0] if out is None else out,)

    dim = config.embed_dim
    yield from layer("input_proj.proj.0", dim, 3, 3, 3)
    yield from layer("output_proj.proj.0", 3, 2 * dim, 3, 3)
    for stage, name in enumerate(STAGE_NAMES):
        width = config.width(stage)
        if stage > STAGES:
            below, half = config.width(stage - 1), width // 2
            yield from layer(f"upsample_{stage - STAGES - 1}.deconv.0", below, half, 2, 2, out=half)
        for number in range(config.depths[stage]):
            block, hidden = f"{name}.blocks.{number}", WIDENING * width
            if config.modulates(stage):
                yield f"{block}.modulator.weight", (TOKENS, width)
            yield from layer(f"{block}.norm1", width)
            yield f"{block}.attn.relative_position_bias_table", ((2 * WINDOW - 1) ** 2, config.num_heads[stage])
            yield from layer(f"{block}.attn.qkv.to_q", width, width)
            yield from layer(f"{block}.attn.qkv.to_kv", 2 * width, width)
            yield from layer(f"{block}.attn.proj", width, width)
            yield from layer(f"{block}.norm2", width)
            yield from layer(f"{block}.mlp.linear1.0", hidden, width)
            yield from layer(f"{block}.mlp.dwconv.0", hidden, 1, 3, 3)
            yield from layer(f"{block}.mlp.linear2.0", width, hidden)
        if stage < STAGES:
            yield from layer(f"dowsample_{stage}.conv.0", 2 * width, width, 4, 4)


def shift_masks() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Score offsets, each (64, 64), for windows whose lower / right half came from the other side.

    After a cyclic shift only the last row and the last column of windows mix distant pixels, and
    the corner window needs the sum of both.
    """
    half = np.arange(WINDOW) >= SHIFT
    lower, right = (
        np.where(part[:, None] != part[None, :], MASKED, 0).astype(np.float32)
        for part in (half.repeat(WINDOW), np.tile(half, WINDOW))
    )
    return lower, right


def relative_position_index() -> NDArray[np.int64]:
    """Where the bias of each pair of tokens stands in the bias table: (64, 64) integers below 225."""
    y, x = np.divmod(np.arange(TOKENS, dtype=np.int64), WINDOW)
    dy, dx = (position[:, None] - position[None, :] + WINDOW - 1 for position in (y, x))
    index: NDArray[np.int64] = dy * (2 * WINDOW - 1) + dx
    return index
