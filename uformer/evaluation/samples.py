"""What models are measured on: photos with noise, blur or JPEG of known kinds, and folders of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from uformer.training import blur, noise
from uformer.training.dice import Dice
from uformer.training.light import eight_bits
from uformer.training.photos import SUFFIXES, read_photo

# How folders of pairs are called: GoPro's, SIDD's as the official code writes it, and what others use.
LAYOUTS = (
    ("blur", "sharp"),
    ("input", "groundtruth"),
    ("input", "target"),
    ("noisy", "clean"),
    ("lq", "gt"),
)
SIGMAS = (15, 25, 50)
PATHS = (8.0, 16.0, 24.0)
_SEED = 815
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sample:
    """One photo, as it should be and as it is given; both (H, W, 3) uint8 RGB.

    sigma: of white noise, in steps of 8 bits; None where nobody knows it.
    """

    name: str
    true: NDArray[np.uint8]
    given: NDArray[np.uint8]
    sigma: float | None = None


@dataclass(frozen=True)
class Series:
    """Samples of one kind. Each iteration makes the same ones anew, one at a time."""

    name: str
    make: Callable[[], Iterator[Sample]]

    def __iter__(self) -> Iterator[Sample]:
        return self.make()


def pairs(folder: Path) -> Series:
    """The pairs below a folder, in one of LAYOUTS; both of a pair have one name. Raises ValueError."""
    for layout in LAYOUTS:
        found = _found(folder, *layout)
        if found:
            return Series(folder.name, partial(_read_pairs, found))
    layouts = ", ".join(f"{given}/ and {true}/" for given, true in LAYOUTS)
    raise ValueError(f"{folder} holds no pairs of photos with equal names; give it {layouts}.")


def _found(folder: Path, given_name: str, true_name: str) -> Sequence[tuple[Path, Path]]:
    """The files as they are given and as they should be."""
    places = sorted(place for place in folder.rglob(f"{given_name}/*") if place.suffix.lower() in SUFFIXES)
    both = [(place, place.parent.parent / true_name / place.name) for place in places]
    return [(given, true) for given, true in both if true.is_file()]


def _read_pairs(found: Sequence[tuple[Path, Path]]) -> Iterator[Sample]:
    for given, true in found:
        yield Sample(given.stem, read_photo(true), read_photo(given))


def degraded(folder: Path, task: str) -> list[Series]:
    """The photos of a folder, degraded in every way that belongs to a task, always the same way.

    denoise: white noise of sigma 15, 25 and 50, and camera noise. deblur: camera shake of up to 8, 16 and 24 pixels,
    a moving scene, and no blur at all. Raises ValueError for a folder without photos.
    """
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not photos:
        raise ValueError(f"{folder} holds no photos.")

    def series(name: str, degrade: Callable[[Tensor, Dice], Tensor], sigma: float | None = None) -> Series:
        def make() -> Iterator[Sample]:
            for index, path in enumerate(photos):
                true = _even(read_photo(path))
                tensor = torch.from_numpy(true).permute(2, 0, 1)[None].float() / 255
                given = eight_bits(degrade(tensor, Dice(_SEED, index, _CPU)))
                pixels = (given[0].permute(1, 2, 0) * 255).round().byte().numpy()
                yield Sample(path.stem, true, pixels, sigma)

        return Series(name, make)

    if task == "denoise":
        return [*(series(f"sigma {sigma}", _white(sigma), sigma) for sigma in SIGMAS), series("camera", noise.camera)]
    return [
        *(series(f"shake {path:g}", _shaken(path)) for path in PATHS),
        series("sharp", lambda picture, _: picture),
    ]


def non_local_means(sample: Sample) -> NDArray[np.uint8]:
    """OpenCV's non-local means. It is told the noise where that is known, and else takes its default strength."""
    strength = 3.0 if sample.sigma is None else 0.6 * sample.sigma
    denoised = cv2.fastNlMeansDenoisingColored(sample.given, None, strength, strength)
    return np.asarray(denoised, np.uint8)


def _even(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    return np.ascontiguousarray(photo[:height, :width])


def _white(sigma: float) -> Callable[[Tensor, Dice], Tensor]:
    return lambda picture, dice: picture + sigma / 255 * dice.normal(picture.shape)


def _shaken(path: float) -> Callable[[Tensor, Dice], Tensor]:
    def shake(picture: Tensor, dice: Dice) -> Tensor:
        margin = blur.MARGIN
        padded = functional.pad(picture, (margin,) * 4, mode="reflect")
        return blur.shake(padded, dice, path)[..., margin:-margin, margin:-margin]

    return shake
