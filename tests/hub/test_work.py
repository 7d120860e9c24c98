from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hub import work
from hub.work import pixel_work
from uformer.architecture import VARIANTS
from uformer.model import Uformer

SIDE = 128


@pytest.mark.parametrize("variant", ["uformer_16", "uformer_s"])
def test_operations_are_counted_as_pytorch_counts_them(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_CARRYING", 0.0)
    network = Uformer(VARIANTS[variant]).eval()

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, SIDE, SIDE))

    assert pixel_work(variant) == pytest.approx(counter.get_total_flops() / SIDE**2, rel=0.12)


def test_larger_networks_have_more_work() -> None:
    small, middle, large = (pixel_work(f"uformer_{name}") for name in ("16", "s", "b"))

    assert middle / small == pytest.approx(2.2, rel=0.1)
    assert large / small == pytest.approx(3.7, rel=0.1)
