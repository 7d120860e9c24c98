"""How well each way of restoring does on a series of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uformer.evaluation.samples import Sample, Series
from uformer.metrics import psnr, ssim

Pixels = NDArray[np.uint8]
Method = Callable[[Sample], Pixels]
"""What makes (H, W, 3) uint8 RGB of a sample."""
_PERFECT = 100.0


@dataclass
class Score:
    """Of one method on one series: PSNR (dB) and SSIM of each photo."""

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)

    def add(self, restored: Pixels, true: Pixels) -> None:
        """Both (H, W, 3) uint8 RGB. A photo that is restored without any error counts as 100 dB."""
        a, b = _tensor(restored), _tensor(true)
        self.psnr.append(min(psnr(a, b).item(), _PERFECT))
        self.ssim.append(ssim(a, b).item())

    @property
    def means(self) -> tuple[float, float]:
        """PSNR and SSIM."""
        return fmean(self.psnr), fmean(self.ssim)


def score(
    series: Series, methods: Mapping[str, Method], seen: Callable[[Sample, Mapping[str, Pixels]], object]
) -> dict[str, Score]:
    """Measure each method on each sample. seen: told of a sample and what each method made of it."""
    scores = {name: Score() for name in methods}
    for sample in series:
        made = {}
        for name, method in methods.items():
            made[name] = method(sample)
            scores[name].add(made[name], sample.true)
        seen(sample, made)
    return scores


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].double() / 255
