"""A folder of photos, kept as pixels on the device, and random crops of them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uformer.training.dice import Dice

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Each photo is kept at these sizes, so that a random scale costs nothing: 1 to 2 times smaller.
SCALES = (1.0, 2**0.25, 2**0.5, 2**0.75, 2.0)


class PhotoBank:
    """Crops of photos, a whole batch in one gather.

    Sources weigh by the root of their number of photos, so that none dominates; what a file's name has before `__`
    is its source. side: of the largest crop that will be asked for, in pixels; photos smaller than that are refused.
    Raises ValueError if the folder has no photo of that size.
    """

    def __init__(self, folder: Path, side: int, device: torch.device) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        with ThreadPoolExecutor() as pool:
            versions = list(pool.map(lambda path: _versions(path, side), paths))
        kept = [(path, images) for path, images in zip(paths, versions, strict=True) if images]
        if not kept:
            raise ValueError(f"{folder} holds no photo of {side} pixels or more on both sides.")
        sources = Counter(_source(path) for path, _ in kept)
        weights = np.array([sources[_source(path)] ** -0.5 for path, _ in kept])
        self.photos = len(kept)
        self._weights = weights / weights.sum()
        pixels = [image for _, images in kept for image in images]
        self._first = np.cumsum([0, *(len(images) for _, images in kept)])
        self._offsets = np.cumsum([0, *(image.shape[0] * image.shape[1] for image in pixels)])
        self._sizes = np.array([image.shape[:2] for image in pixels])
        self._pixels = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in pixels])).to(device)

    def crops(self, count: int, side: int, dice: Dice) -> Tensor:
        """(count, 3, side, side) float on the device, RGB in [0, 1]: random photo, scale, place, flip and rotation."""
        photos = dice.host.choice(self.photos, count, p=self._weights)
        first, behind = self._first[photos], self._first[photos + 1]
        chosen = first + (dice.host.random(count) * (behind - first)).astype(np.int64)
        height, width = self._sizes[chosen].T
        top = (dice.host.random(count) * (height - side + 1)).astype(np.int64)
        left = (dice.host.random(count) * (width - side + 1)).astype(np.int64)
        start = self._offsets[chosen] + top * width + left
        # Of the eight ways to lay a square: transposed or not, each axis forwards or backwards.
        turned, upside, mirrored = dice.host.integers(0, 2, (3, count)).astype(bool)
        down, across = np.where(upside, -width, width), np.where(mirrored, -1, 1)
        start += np.where(upside, (side - 1) * width, 0) + np.where(mirrored, side - 1, 0)
        steps = np.stack([start, np.where(turned, across, down), np.where(turned, down, across)])
        start_, down_, across_ = torch.from_numpy(steps).to(dice.device, non_blocking=True)[:, :, None, None]
        line = torch.arange(side, device=dice.device)
        index = start_ + down_ * line[:, None] + across_ * line
        return self._pixels[index].permute(0, 3, 1, 2).float() / 255


def read_photo(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, turned as its EXIF says. Raises ValueError."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} cannot be read as a photo.")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def _source(path: Path) -> str:
    return path.name.split("__")[0]


def _versions(path: Path, side: int) -> list[NDArray[np.uint8]]:
    """The photo at every scale at which it has room for a crop; RGB."""
    image = read_photo(path)
    versions = []
    for scale in SCALES:
        width, height = round(image.shape[1] / scale), round(image.shape[0] / scale)
        if min(width, height) >= side:
            version = image if scale == 1 else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            versions.append(np.ascontiguousarray(version, np.uint8))
    return versions
