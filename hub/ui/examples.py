"""The photos to try: scenes drawn once, made noisy as a camera would, and kept in the data directory."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hub.ui import scenes

THUMBNAIL_WIDTH = 240


@dataclass(frozen=True)
class Example:
    """One photo to click: the key of its title, its file, and a small JPEG of it as a data URI."""

    key: str
    title: str
    path: Path
    thumbnail: str


@dataclass(frozen=True)
class _Recipe:
    key: str
    title: str
    draw: Callable[[], NDArray[np.float32]]
    full_well: float  # electrons at white: fewer make more shot noise
    read_noise: float  # standard deviation in linear light


_RECIPES = (
    _Recipe("still-life", "example_still_life", scenes.still_life, 90.0, 0.012),
    _Recipe("mountain-lake", "example_lake", scenes.mountain_lake, 110.0, 0.010),
    _Recipe("night-street", "example_street", scenes.night_street, 160.0, 0.009),
)


def load_examples(folder: Path) -> Sequence[Example]:
    """The examples, drawn into `folder` at the first start (a second or two) and found there later."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_load(recipe, folder) for recipe in _RECIPES)


def camera_noise(linear: NDArray[np.float32], full_well: float, read_noise: float, seed: int) -> NDArray[np.float32]:
    """Shot noise (Poisson) and read noise (Gaussian) on a linear-light picture; not clipped."""
    rng = np.random.default_rng(seed)
    shot = rng.poisson(np.clip(linear, 0, None) * full_well) / full_well
    return (shot + rng.normal(0, read_noise, linear.shape)).astype(np.float32)


def to_srgb(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear light to 8-bit sRGB (IEC 61966-2-1), rounded."""
    clipped = np.clip(linear, 0, 1)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(encoded * 255), np.uint8)


def _load(recipe: _Recipe, folder: Path) -> Example:
    path = folder / f"{recipe.key}.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.exists() else None
    if pixels is None:
        noisy = camera_noise(recipe.draw(), recipe.full_well, recipe.read_noise, seed=len(recipe.key))
        pixels = cv2.cvtColor(to_srgb(noisy), cv2.COLOR_RGB2BGR)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        fresh.replace(path)
    height = round(pixels.shape[0] * THUMBNAIL_WIDTH / pixels.shape[1])
    small = cv2.resize(pixels, (THUMBNAIL_WIDTH, height), interpolation=cv2.INTER_LINEAR)  # keeps the noise visible
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return Example(recipe.key, recipe.title, path, f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}")
