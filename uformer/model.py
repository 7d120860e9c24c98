"""Uformer: a U-shaped transformer for image restoration (Wang et al., CVPR 2022, arXiv 2106.03106)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from uformer.layers import WINDOW, Downsample, InputProj, OutputProj, Stage, Upsample

STAGES = 4
# Sides must divide into windows at the lowest resolution.
MULTIPLE = WINDOW * 2**STAGES


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


VARIANTS: dict[str, UformerConfig] = {
    "uformer_16": UformerConfig(16, (2,) * 9, modulator=False),
    "uformer_t": UformerConfig(16, (2,) * 9, modulator=True),
    "uformer_s": UformerConfig(32, (2,) * 9, modulator=True),
    "uformer_s_noshift": UformerConfig(32, (2,) * 9, modulator=True, shift=False),
    "uformer_b": UformerConfig(32, (1, 2, 8, 8, 2, 8, 8, 2, 1), modulator=True),
}


class Uformer(nn.Module):
    """The network. Its state dict has the official names, `dowsample_0` included.

    drop_path: rate of stochastic depth in training, rising along the encoder and falling along the decoder.
    """

    def __init__(self, config: UformerConfig, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        dim, depths = config.embed_dim, config.depths
        encoder_rates = torch.linspace(0, drop_path, sum(depths[:STAGES]), device="cpu").tolist()
        rates = [*encoder_rates, *[drop_path] * depths[STAGES], *encoder_rates[::-1]]

        def stage(index: int, width: int, level: int) -> Stage:
            start = sum(depths[:index])
            return Stage(
                width,
                depths[index],
                config.num_heads[index],
                shift=config.shift and config.train_size >> level > WINDOW,
                modulator=config.modulator and index > STAGES,
                drop_path=rates[start : start + depths[index]],
            )

        self.input_proj = InputProj(dim)
        self.output_proj = OutputProj(2 * dim)
        for i in range(STAGES):
            self.add_module(f"encoderlayer_{i}", stage(i, dim << i, i))
            self.add_module(f"dowsample_{i}", Downsample(dim << i, dim << (i + 1)))
        self.conv = stage(STAGES, dim << STAGES, STAGES)
        for i in range(STAGES):
            level = STAGES - 1 - i
            below = dim << (STAGES if i == 0 else level + 2)
            self.add_module(f"upsample_{i}", Upsample(below, dim << level))
            self.add_module(f"decoderlayer_{i}", stage(STAGES + 1 + i, dim << (level + 1), level))
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (B, 3, H, W) float, RGB in [0, 1], H and W multiples of 128; unclamped.

        Raises ValueError for other shapes.
        """
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % MULTIPLE or image.shape[3] % MULTIPLE:
            raise ValueError(
                f"Uformer takes (B, 3, H, W) with H and W multiples of {MULTIPLE}, not {tuple(image.shape)}."
            )
        x = self.input_proj(image)
        skips = []
        for i in range(STAGES):
            x = self.get_submodule(f"encoderlayer_{i}")(x)
            skips.append(x)
            x = self.get_submodule(f"dowsample_{i}")(x)
        x = self.conv(x)
        for i in range(STAGES):
            x = torch.cat((self.get_submodule(f"upsample_{i}")(x), skips.pop()), dim=-1)
            x = self.get_submodule(f"decoderlayer_{i}")(x)
        result: Tensor = image + self.output_proj(x)
        return result


def _initialise(module: nn.Module) -> None:
    """The official initialisation: truncated normal for linear layers."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
