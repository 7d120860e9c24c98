"""What the networks learn from: crops of photos, mixed with made pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from uformer.training.dice import Dice
from uformer.training.photos import PhotoBank
from uformer.training.procedural import Procedural


class Scenes:
    """Clean pictures. share: the part of each batch that is made rather than photographed."""

    def __init__(self, photos: PhotoBank, procedural: Procedural, share: float) -> None:
        self._photos = photos
        self._procedural = procedural
        self._share = share

    def crops(self, count: int, side: int, dice: Dice) -> Tensor:
        """(count, 3, side, side) float on the device, RGB in [0, 1], in random order."""
        made = int((dice.kinds(count, (1 - self._share, self._share)) == 1).sum())
        parts = [
            source.crops(n, side, dice) for source, n in ((self._photos, count - made), (self._procedural, made)) if n
        ]
        order = torch.from_numpy(dice.host.permutation(count)).to(dice.device)
        return torch.cat(parts)[order]
