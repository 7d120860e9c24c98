"""Pictures that nobody took, made on the device: dead leaves, gradients, fabric, drawings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from uformer.training.dice import Dice
from uformer.training.drawings import draw_pages

_LEAVES = 60
_PAGE_SIDE = 512


class Procedural:
    """Batches of made pictures, as many of each kind."""

    def __init__(self, dice: Dice, *, pages: int = 48) -> None:
        """pages: how many are drawn, once, for the drawings to be cut from."""
        self._pages = torch.from_numpy(draw_pages(pages, _PAGE_SIDE, dice.host)).to(dice.device)
        self._makers: tuple[Callable[[int, int, Dice], Tensor], ...] = (
            dead_leaves,
            gradients,
            fabric,
            self._drawings,
        )

    def crops(self, count: int, side: int, dice: Dice) -> Tensor:
        """(count, 3, side, side) float on the device, RGB in [0, 1]; side up to 512."""
        kinds = dice.kinds(count, [1 / len(self._makers)] * len(self._makers))
        counts = [int((kinds == kind).sum()) for kind in range(len(self._makers))]
        return torch.cat([make(n, side, dice) for make, n in zip(self._makers, counts, strict=True) if n])

    def _drawings(self, count: int, side: int, dice: Dice) -> Tensor:
        """Drawings in two colours, each of which may change over the picture."""
        pages = dice.host.integers(0, len(self._pages), count)
        corners = dice.host.integers(0, _PAGE_SIDE - side + 1, (count, 2))
        cuts = [
            self._pages[page, top : top + side, left : left + side]
            for page, (top, left) in zip(pages.tolist(), corners.tolist(), strict=True)
        ]
        mask = torch.stack(cuts)[:, None].float() / 255
        paper, ink = (_plain_or(gradients(count, side, dice), dice) for _ in range(2))
        return torch.lerp(paper, ink, mask)


def dead_leaves(count: int, side: int, dice: Dice) -> Tensor:
    """Leaves that hide one another, sizes spread as in nature, each with a texture of a natural spectrum.

    Lee, Mumford and Huang, Occlusion Models for Natural Images, IJCV 2001.
    """
    texture = _natural_noise(count, side, dice)
    place = torch.arange(side, device=dice.device, dtype=torch.float32)
    picture = _random_colours(count, dice) + 0.1 * texture
    # Radii with density r⁻³, from 6 pixels to half of the side; the large ones first, lest they hide all.
    span = dice.uniform((count, _LEAVES))
    low, high = 6.0**-2, (side / 2) ** -2
    radii = (low + span * (high - low)).pow(-0.5).sort(1, descending=True).values
    centres = dice.uniform((2, count, _LEAVES), 0, side)
    turns = dice.uniform((count, _LEAVES), 0, torch.pi)
    stretches = dice.uniform((count, _LEAVES), 0.4, 1)
    powers = torch.tensor([1.0, 2.0, 4.0], device=dice.device)
    for leaf in range(_LEAVES):
        x = place - centres[0, :, leaf, None, None]
        y = place[:, None] - centres[1, :, leaf, None, None]
        sine, cosine = turns[:, leaf, None, None].sin(), turns[:, leaf, None, None].cos()
        u = (x * cosine + y * sine).abs()
        v = (y * cosine - x * sine).abs() / stretches[:, leaf, None, None]
        power = powers[int(dice.host.integers(3))]
        distance = (u**power + v**power + 1e-6) ** (1 / power)
        inside = (radii[:, leaf, None, None] - distance + 0.5).clamp(0, 1)[:, None]
        grain = texture.roll(int(dice.host.integers(side)), 3) * dice.uniform((count, 1, 1, 1), 0, 0.25)
        picture = torch.lerp(picture, _random_colours(count, dice) + grain, inside)
    return picture.clamp(0, 1)


def gradients(count: int, side: int, dice: Dice) -> Tensor:
    """Smooth changes between random colours, as of skies and walls."""
    size = int(dice.host.integers(2, 5))
    corners = _random_colours(count, dice) + 0.25 * dice.normal((count, 3, size, size))
    return functional.interpolate(corners, size=(side, side), mode="bicubic", align_corners=True).clamp(0, 1)


def fabric(count: int, side: int, dice: Dice) -> Tensor:
    """Two crossing gratings, bent a little, over a gradient: cloth, fences, shutters."""
    place = torch.arange(side, device=dice.device, dtype=torch.float32)
    bend = functional.interpolate(dice.normal((count, 2, 4, 4)), size=(side, side), mode="bicubic", align_corners=True)
    bend = bend * dice.uniform((count, 2, 1, 1), 0, 1.5)
    angle = dice.uniform((count, 1, 1), 0, torch.pi)
    threads = []
    for index in range(2):
        turn = angle + index * torch.pi / 2
        # Wavelengths of 2.5 to 24 pixels.
        pace = 2 * torch.pi / dice.log_uniform((count, 1, 1), 2.5, 24)
        wave = (pace * (place * turn.cos() + place[:, None] * turn.sin()) + bend[:, index]).sin()
        threads.append((wave * dice.log_uniform((count, 1, 1), 1, 4)).tanh())
    single = dice.happens(count, 0.3)
    weave = torch.where(single[:, 0], threads[0], threads[0] * threads[1])[:, None]
    contrast = dice.uniform((count, 1, 1, 1), 0.05, 0.4)
    tint = 1 + 0.3 * dice.normal((count, 3, 1, 1))
    return (gradients(count, side, dice) + contrast * tint * weave).clamp(0, 1)


def _natural_noise(count: int, side: int, dice: Dice) -> Tensor:
    """Noise whose amplitude falls with frequency as in photos, as f to the power -0.8 to -1.6; (B, 3, H, W), std 1."""
    frequency = torch.fft.fftfreq(side, device=dice.device)
    radius = (frequency[:, None] ** 2 + frequency[: side // 2 + 1] ** 2).sqrt()
    radius[0, 0] = 1
    slope = -dice.uniform((count, 1, 1, 1), 0.8, 1.6)
    shared, own = dice.normal((count, 1, side, side)), dice.normal((count, 3, side, side))
    spectrum = torch.fft.rfft2(shared + 0.3 * own) * radius**slope
    spectrum[..., 0, 0] = 0
    noise = torch.fft.irfft2(spectrum, s=(side, side))
    result: Tensor = noise / noise.std((1, 2, 3), keepdim=True)
    return result


def _random_colours(count: int, dice: Dice) -> Tensor:
    """(count, 3, 1, 1): mostly muted, some strong."""
    grey = dice.uniform((count, 1, 1, 1))
    strength = dice.uniform((count, 1, 1, 1)) ** 2
    return torch.lerp(grey.expand(-1, 3, -1, -1), dice.uniform((count, 3, 1, 1)), strength)


def _plain_or(picture: Tensor, dice: Dice) -> Tensor:
    """Half of the pictures as they are, the others in one colour."""
    return _random_colours(len(picture), dice).where(dice.happens(len(picture), 0.5), picture)
