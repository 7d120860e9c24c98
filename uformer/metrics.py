"""How near a restored picture comes to the true one: PSNR and SSIM, as scikit-image defines them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SIGMA = 1.5
_RADIUS = 5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(restored: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each picture of a batch: (B,) float64.

    Both (B, 3, H, W) in [0, 1]; the squared error is averaged over pixels and channels.
    """
    error = (restored.double() - true.double()).square().mean((1, 2, 3))
    return -10 * error.log10()


def ssim(restored: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each picture of a batch: (B,) float64, 1 for equal pictures.

    Both (B, 3, H, W) in [0, 1], sides of 11 pixels or more. Wang et al., IEEE Transactions on Image Processing 2004:
    Gaussian windows of sigma 1.5 that lie whole in the picture, averaged over places and channels.
    """
    x, y = restored.double(), true.double()
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity = similarity / ((mean_x * mean_x + mean_y * mean_y + _C1) * (var_x + var_y + _C2))
    return similarity.mean((1, 2, 3))


def _blur(planes: Tensor) -> Tensor:
    place = torch.arange(-_RADIUS, _RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-0.5 * (place / _SIGMA) ** 2)
    window = (window / window.sum()).expand(planes.shape[1], 1, 1, -1)
    across = functional.conv2d(planes, window, groups=planes.shape[1])
    return functional.conv2d(across, window.transpose(2, 3), groups=planes.shape[1])
