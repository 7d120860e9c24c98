"""What the hardware could do at best: matrix products and memory traffic, and what a network asks of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from uformer.architecture import VARIANTS
from uformer.model import Uformer

_ROUNDS = 7


@dataclass(frozen=True)
class Ceiling:
    """Measured: products in float operations per second, bandwidth in bytes read and written per second."""

    float32: float
    bfloat16: float
    bandwidth: float

    def of(self, precision: str) -> float:
        """Float operations per second in a precision."""
        return self.bfloat16 if precision == "bfloat16" else self.float32


def measure_ceiling(device: str, threads: int | None = None) -> Ceiling:
    """Large square products in both precisions, and copies far larger than any cache."""
    if threads is not None:
        torch.set_num_threads(threads)
    gpu = device != "cpu"
    side, copied = (8192, 1 << 30) if gpu else (2048, 1 << 28)
    rates = []
    for kind in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        out = torch.empty_like(a)
        rates.append(2 * side**3 / _seconds(lambda: torch.mm(a, b, out=out), gpu))  # noqa: B023 - called at once
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return Ceiling(rates[0], rates[1], 2 * copied / _seconds(lambda: target.copy_(source), gpu))


@cache
def operations(variant: str, side: int) -> int:
    """Float operations of matrix products and convolutions for one square tile."""
    with torch.device("meta"):
        model = Uformer(VARIANTS[variant]).eval()
        tile = torch.empty(1, 3, side, side)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        model(tile)
    return int(counter.get_total_flops())


def _seconds(work: Callable[[], object], gpu: bool) -> float:
    """Median of several runs after a first one that does not count."""
    taken = []
    for _ in range(_ROUNDS + 1):
        if gpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if gpu:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return median(taken[1:])
