"""Noise: of fixed strength, and as cameras make it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from uformer.training.dice import Dice
from uformer.training.light import to_light, to_srgb

_LUMA = (0.299, 0.587, 0.114)


def gaussian(image: Tensor, dice: Dice, max_sigma: float) -> Tensor:
    """Add white noise to (B, 3, H, W) sRGB in [0, 1]; each sample's sigma from 0 to `max_sigma`, in 8-bit steps."""
    sigma = dice.uniform((len(image), 1, 1, 1), 0, max_sigma / 255)
    return (image + sigma * dice.normal(image.shape)).clamp(0, 1)


def camera(image: Tensor, dice: Dice) -> Tensor:
    """Add the noise of a camera to (B, 3, H, W) sRGB in [0, 1], H and W even.

    The picture is taken back to what the sensor saw (Brooks et al., Unprocessing Images, CVPR 2019), where it gets
    shot and read noise, and is then developed again; the noise is spread as demosaicing does, and a part of it is made
    coarse in colour, as cameras' own noise reduction leaves it.
    """
    count = len(image)
    curve = dice.normal((count, 1, 1, 1)).mul(0.15).exp()
    contrast = dice.happens(count, 0.5)
    gains = torch.cat([dice.uniform((count, 1, 1, 1), 1.2, 2.4) for _ in range(3)], dim=1)
    gains[:, 1] = 1
    exposure = dice.log_uniform((count, 1, 1, 1), 0.25, 1)

    light = to_light(_flatten_contrast(image).where(contrast, image).pow(1 / curve))
    raw = light / gains * exposure
    noise = _sensor_noise(raw, dice)
    noise = _demosaiced(noise, dice).where(dice.happens(count, 0.6), noise)
    developed = to_srgb(((raw + noise).clamp(0, 1) * gains / exposure).clamp(0, 1)).pow(curve)
    noisy = _raise_contrast(developed).where(contrast, developed)
    return torch.where(dice.happens(count, 0.4), _smoothed(image, noisy, dice), noisy).clamp(0, 1)


def _sensor_noise(raw: Tensor, dice: Dice) -> Tensor:
    """Shot noise grows with the light, read noise does not; how they go together is that of real cameras."""
    shape = (len(raw), 1, 1, 1)
    shot = dice.log_uniform(shape, 1e-4, 1.2e-2)
    read = (2.18 * shot.log() + 1.2 + 0.26 * dice.normal(shape)).exp()
    return (shot * raw + read).sqrt() * dice.normal(raw.shape)


def _demosaiced(noise: Tensor, dice: Dice) -> Tensor:
    """What bilinear demosaicing makes of the noise that a Bayer sensor's pixels have, each in its one colour."""
    height, width = noise.shape[2:]
    tile = torch.tensor([[[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]], dtype=noise.dtype, device=noise.device)
    mask = tile.repeat(1, height // 2 + 1, width // 2 + 1)
    down, right = dice.host.integers(0, 2, 2)
    mask = mask[:, down : down + height, right : right + width]
    cross = torch.tensor([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]], device=noise.device) / 4
    square = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], device=noise.device) / 4
    kernels = torch.stack([square, cross, square])[:, None]
    padded = functional.pad(noise * mask, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded, kernels, groups=3)


def _smoothed(clean: Tensor, noisy: Tensor, dice: Dice) -> Tensor:
    """`noisy` as a camera's own noise reduction leaves it: less grain in luma, blotches in colour."""
    shape = (len(clean), 1, 1, 1)
    noise = noisy - clean
    weights = torch.tensor(_LUMA, device=clean.device)[:, None, None]
    luma = (noise * weights).sum(1, keepdim=True)
    chroma = noise - luma
    blotches = functional.interpolate(
        functional.avg_pool2d(chroma, 4, ceil_mode=True), size=chroma.shape[2:], mode="bilinear", align_corners=False
    )
    mixture = dice.uniform(shape)
    # The mean over 16 pixels leaves a quarter of white noise.
    chroma = (1 - mixture) * chroma + mixture * dice.uniform(shape, 1, 4) * blotches
    return clean + dice.uniform(shape, 0.3, 1) * luma + chroma


def _raise_contrast(image: Tensor) -> Tensor:
    """The S-curve of many cameras: smoothstep."""
    return image * image * (3 - 2 * image)


def _flatten_contrast(image: Tensor) -> Tensor:
    """The inverse of `_raise_contrast` on [0, 1]."""
    return 0.5 - torch.sin(torch.asin((1 - 2 * image).clamp(-1, 1)) / 3)
