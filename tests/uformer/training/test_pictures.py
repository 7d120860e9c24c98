"""What the networks learn from: photos, made pictures, and the dice that choose them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from uformer.training.dice import Dice
from uformer.training.photos import PhotoBank
from uformer.training.procedural import Procedural, dead_leaves, fabric, gradients
from uformer.training.scenes import Scenes

CPU = torch.device("cpu")


def test_a_step_is_always_the_same_and_never_another(scenes: Scenes) -> None:
    first, again, next_one = (scenes.crops(6, 64, Dice(1, step, CPU)) for step in (4, 4, 5))

    assert torch.equal(first, again)
    assert not torch.equal(first, next_one)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_kinds_keep_their_shares(count: int) -> None:
    kinds = [Dice(1, step, CPU).kinds(count, (0.5, 0.3, 0.2)) for step in range(200)]

    for kind, share in enumerate((0.5, 0.3, 0.2)):
        numbers = [(each == kind).sum() for each in kinds]
        assert all(abs(number - share * count) < 1 for number in numbers)
        assert np.mean(numbers) == pytest.approx(share * count, abs=0.1)


def test_crops_are_whole_pieces_of_a_photo_in_all_eight_ways(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "told__a.png").write_bytes((photos / "told__a.png").read_bytes())
    bank = PhotoBank(tmp_path, 176, CPU)

    ways = set()
    for step in range(60):
        (crop,) = (bank.crops(1, 150, Dice(1, step, CPU)) * 255).round().int()
        y, x = crop[0], crop[1] + (crop[2] > 0) * 256
        down, across = (y[1, 0] - y[0, 0], x[1, 0] - x[0, 0]), (y[0, 1] - y[0, 0], x[0, 1] - x[0, 0])
        ways.add((*map(int, down), *map(int, across)))
        line = torch.arange(150)
        assert torch.equal(y, y[0, 0] + line[:, None] * down[0] + line * across[0])
        assert torch.equal(x, x[0, 0] + line[:, None] * down[1] + line * across[1])
    assert len(ways) == 8
    assert ways <= {(a, 0, 0, b) for a in (-1, 1) for b in (-1, 1)} | {(0, a, b, 0) for a in (-1, 1) for b in (-1, 1)}


def test_sources_weigh_by_the_root_of_their_photos(photos: Path) -> None:
    bank = PhotoBank(photos, 176, CPU)
    assert bank.photos == 3, "The one that is too small is left out."

    told = (bank.crops(3000, 1, Dice(1, 1, CPU))[:, 2, 0, 0] % 1 == 0).sum()  # Blue is 0 or 1 in that one alone.
    assert told / 3000 == pytest.approx(1 / (1 + 2**0.5), abs=0.05)


def test_a_folder_without_photos(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no photo of 176 pixels"):
        PhotoBank(tmp_path, 176, CPU)


@pytest.mark.parametrize(
    "make", [dead_leaves, gradients, fabric, None], ids=["leaves", "gradients", "fabric", "drawings"]
)
def test_made_pictures(make: object, dice: Dice) -> None:
    make = make or Procedural(dice, pages=4)._drawings
    pictures = make(16, 96, dice)  # type: ignore[operator]

    assert pictures.shape == (16, 3, 96, 96)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    spread = pictures.std((1, 2, 3))
    assert (spread > 0.02).sum() >= 12, "They show something."
    assert (pictures[0] - pictures[1]).abs().mean() > 0.02, "No two are alike."


def test_dead_leaves_have_the_spectrum_of_photos(dice: Dice) -> None:
    """Power falls about as the square of the frequency: 1.4 to 2.8 in natural photos."""
    pictures = dead_leaves(24, 128, dice).mean(1)
    power = torch.fft.fft2(pictures - pictures.mean((1, 2), keepdim=True)).abs().square().mean(0)
    frequency = torch.fft.fftfreq(128)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt()
    bands = [(0.02, 0.04), (0.04, 0.08), (0.08, 0.16), (0.16, 0.32)]
    levels = [power[(radius >= low) & (radius < high)].mean().log2().item() for low, high in bands]

    slope = (levels[0] - levels[-1]) / 3
    assert 1.4 < slope < 2.8
