"""Randomness of a training step, told by the step's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Dice:
    """All that is random in one step. Resumed at a step, a run meets the same pictures and noise as without the break.

    host: for choices that decide shapes and addresses, so that the device is never waited for.
    """

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        words = np.random.SeedSequence((seed, step)).generate_state(2, np.uint64)
        self.host = np.random.default_rng(words[0])
        self.device = device
        self._generator = torch.Generator(device).manual_seed(int(words[1] >> np.uint64(1)))

    def uniform(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self.device) * (high - low) + low

    def log_uniform(self, shape: Sequence[int], low: float, high: float) -> Tensor:
        return self.uniform(shape, float(np.log(low)), float(np.log(high))).exp()

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.device)

    def happens(self, count: int, probability: float) -> Tensor:
        """(count, 1, 1, 1) booleans: for which samples of a batch something happens."""
        return self.uniform((count, 1, 1, 1)) < probability

    def kinds(self, count: int, shares: Sequence[float]) -> NDArray[np.int64]:
        """Which kind each sample of a batch is, as evenly as `shares` allow, in random order.

        shares: of each kind, summing to 1.
        """
        # One random offset for the whole batch: each kind's number differs from its share by less than one.
        points = (np.arange(count) + self.host.random()) / count
        kinds = np.searchsorted(np.cumsum(shares)[:-1], points, side="right")
        return self.host.permutation(kinds)
