"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor

_SOFTNESS = 1e-3


def restoration_loss(restored: Tensor, clean: Tensor, spectrum: float) -> Tensor:
    """Charbonnier loss between pixels, plus `spectrum` times the mean distance between orthonormal Fourier spectra.

    Both (B, 3, H, W) float32. The spectra weigh fine detail, of which the pixels' mean sees little.
    """
    difference = restored - clean
    loss = (difference.square() + _SOFTNESS**2).sqrt().mean()
    if spectrum:
        loss = loss + spectrum * torch.fft.rfft2(difference, norm="ortho").abs().mean()
    return loss
