"""What is known of the networks without building them is what the networks are."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from uformer import VARIANTS, Uformer
from uformer.architecture import weight_shapes

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("train_size", [128, 256])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shapes_of_weights_are_those_of_the_network(variant: str, train_size: int) -> None:
    config = replace(VARIANTS[variant], train_size=train_size)
    shapes = {name: tuple(weight.shape) for name, weight in Uformer(config).named_parameters()}
    assert list(weight_shapes(config).items()) == list(shapes.items())


def test_openvino_restores_without_pytorch() -> None:
    """A fresh server's first photo would wait for its import."""
    code = (
        "import sys, numpy; from uformer import load_weights, open_backend;"
        "backend = open_backend(load_weights('weights/denoise_16.safetensors'), device='cpu', cpu_backend='openvino');"
        "tile = numpy.zeros((1, 128, 128, 3), numpy.uint8); backend.prepare(128, 128, steady=True);"
        "[backend.run(tile, lambda: None) for _ in range(2)]; backend.close();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False).returncode == 0
