"""Light and its sRGB encoding: noise and blur happen to light, pictures are stored encoded."""

from __future__ import annotations

from torch import Tensor


def to_light(image: Tensor) -> Tensor:
    """sRGB values in [0, 1] → linear light in [0, 1] (IEC 61966-2-1)."""
    return ((image + 0.055) / 1.055).pow(2.4).where(image > 0.04045, image / 12.92)


def to_srgb(light: Tensor) -> Tensor:
    """Linear light in [0, 1] → sRGB values in [0, 1]."""
    encoded = 1.055 * light.clamp(min=1e-6).pow(1 / 2.4) - 0.055
    return encoded.where(light > 0.0031308, light * 12.92)


def eight_bits(image: Tensor) -> Tensor:
    """As stored in 8 bits: clipped to [0, 1], rounded to multiples of 1/255."""
    return (image.clamp(0, 1) * 255).round() / 255
