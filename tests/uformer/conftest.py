"""A real photo with noise, and networks with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from uformer import VARIANTS, Uformer


@pytest.fixture(scope="session")
def real_photo() -> NDArray[np.uint8]:
    """(384, 400, 3) uint8 RGB: part of NASA's portrait of Eileen Collins (public domain)."""
    return np.ascontiguousarray(data.astronaut()[:384, :400])


@pytest.fixture(scope="session")
def noisy_real_photo(real_photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`real_photo` with Gaussian noise of sigma 25, rounded to 8 bits."""
    noise = np.random.default_rng(0).normal(0, 25, real_photo.shape)
    return (real_photo + noise).clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Uformer]:
    """Makes a network whose every weight is random, scaled so that signals neither vanish nor explode."""

    def make(variant: str, train_size: int = 128) -> Uformer:
        generator = torch.Generator().manual_seed(0)
        network = Uformer(replace(VARIANTS[variant], train_size=train_size)).eval().requires_grad_(False)
        for name, weight in network.named_parameters():
            if weight.ndim == 1:
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
            else:
                fan_in = 1 if name.endswith(("table", "modulator.weight")) else weight[0].numel()
                weight.copy_(0.7 * fan_in**-0.5 * torch.randn(weight.shape, generator=generator))
        return network

    return make
