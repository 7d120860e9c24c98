"""Uformer: a U-shaped transformer for image restoration (Wang et al., CVPR 2022, arXiv 2106.03106)."""

from __future__ import annotations

import torch
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from uformer.architecture import MULTIPLE, STAGE_NAMES, STAGES, UformerConfig
from uformer.layers import Downsample, InputProj, OutputProj, Stage, Upsample


class Uformer(nn.Module):
    """The network. Its state dict has the official names, `dowsample_0` included.

    drop_path: rate of stochastic depth in training, rising along the encoder and falling along the decoder.
    """

    def __init__(self, config: UformerConfig, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.config = config
        depths = config.depths
        encoder_rates = torch.linspace(0, drop_path, sum(depths[:STAGES]), device="cpu").tolist()
        rates = [*encoder_rates, *[drop_path] * depths[STAGES], *encoder_rates[::-1]]

        def add(index: int) -> None:
            start = sum(depths[:index])
            stage = Stage(
                config.width(index),
                depths[index],
                config.num_heads[index],
                shifted=[config.shifts(index, block) for block in range(depths[index])],
                modulator=config.modulates(index),
                drop_path=rates[start : start + depths[index]],
            )
            self.add_module(STAGE_NAMES[index], stage)

        self.input_proj = InputProj(config.width(0))
        self.output_proj = OutputProj(config.width(2 * STAGES))
        for i in range(STAGES):
            add(i)
            self.add_module(f"dowsample_{i}", Downsample(config.width(i), 2 * config.width(i)))
        add(STAGES)
        for i, index in enumerate(range(STAGES + 1, 2 * STAGES + 1)):
            self.add_module(f"upsample_{i}", Upsample(config.width(index - 1), config.width(index) // 2))
            add(index)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (B, 3, H, W) float, RGB in [0, 1], H and W multiples of 128; unclamped.

        Raises ValueError for other shapes.
        """
        result: Tensor = image + self.residual(image)
        return result

    def residual(self, image: Tensor) -> Tensor:
        """What `forward` adds to a batch, and raises; `image` must be of the weights' type."""
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
        x = self.get_submodule(STAGE_NAMES[STAGES])(x)
        for i in range(STAGES):
            x = torch.cat((self.get_submodule(f"upsample_{i}")(x), skips.pop()), dim=-1)
            x = self.get_submodule(f"decoderlayer_{i}")(x)
        residual: Tensor = self.output_proj(x)
        return residual


def _initialise(module: nn.Module) -> None:
    """The official initialisation: truncated normal for linear layers."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
