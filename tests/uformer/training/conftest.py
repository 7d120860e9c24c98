"""A small folder of photos, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from uformer.training.dice import Dice
from uformer.training.photos import PhotoBank
from uformer.training.procedural import Procedural
from uformer.training.scenes import Scenes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose by more, all the more where another test runs beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of two sources, every pixel of the first told by its colour; and one that is too small."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[:200, :260]
    told = np.stack([y, x % 256, x // 256 * 255], -1).astype(np.uint8)
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (2, 30, 40, 3)).astype(np.uint8)
    for name, image in {
        "told__a.png": told,
        "made__b.png": cv2.resize(coarse[0], (300, 220), interpolation=cv2.INTER_CUBIC),
        "made__c.png": cv2.resize(coarse[1], (220, 300), interpolation=cv2.INTER_CUBIC),
        "made__small.png": told[:100, :100],
    }.items():
        cv2.imwrite(str(folder / name), np.ascontiguousarray(image[..., ::-1]))
    return folder


@pytest.fixture(scope="session")
def scenes(photos: Path) -> Scenes:
    return Scenes(PhotoBank(photos, 176, CPU), Procedural(Dice(0, 0, CPU), pages=4), 0.25)


@pytest.fixture
def dice() -> Dice:
    return Dice(7, 1, CPU)
