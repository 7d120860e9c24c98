"""What the networks learn to undo: batches of degraded pictures beside what they should become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from uformer.training import blur, jpeg, noise
from uformer.training.dice import Dice
from uformer.training.light import eight_bits
from uformer.training.scenes import Scenes

Pair = tuple[Tensor, Tensor]


class Degradation(Protocol):
    def pairs(self, scenes: Scenes, count: int, side: int, dice: Dice) -> Pair:
        """Degraded and clean pictures, each (count, 3, side, side) float, RGB in [0, 1]; side a multiple of 16."""
        ...


@dataclass(frozen=True)
class JpegOptions:
    """share: of the samples that are compressed. quality: from, to, on libjpeg's scale."""

    share: float
    quality: tuple[int, int]

    def __call__(self, image: Tensor, dice: Dice) -> Tensor:
        count = len(image)
        quality = dice.uniform((count,), *self.quality).round()
        compressed = jpeg.compress(image, quality, dice.uniform((count,)) < 0.5)
        return compressed.where(dice.happens(count, self.share), image)


@dataclass(frozen=True)
class Noise:
    """Blind denoising: white noise of any strength, camera noise, and JPEG alone; all in 8 bits.

    gaussian, camera, none: shares of the samples, summing to 1. max_sigma: of white noise, in steps of 8 bits.
    jpeg: what may follow camera noise, or stand alone where there is no noise.
    gaussian_jpeg: the part of the samples with white noise that may be compressed too.
    """

    gaussian: float
    camera: float
    none: float
    max_sigma: float
    jpeg: JpegOptions
    gaussian_jpeg: float

    def pairs(self, scenes: Scenes, count: int, side: int, dice: Dice) -> Pair:
        clean = scenes.crops(count, side, dice)
        kinds = dice.kinds(
            count,
            (self.gaussian * (1 - self.gaussian_jpeg), self.gaussian * self.gaussian_jpeg, self.camera, self.none),
        )

        def white(image: Tensor) -> Tensor:
            return noise.gaussian(image, dice, self.max_sigma)

        def white_jpeg(image: Tensor) -> Tensor:
            return self.jpeg(white(image), dice)

        def camera(image: Tensor) -> Tensor:
            return self.jpeg(noise.camera(image, dice), dice)

        def plain(image: Tensor) -> Tensor:
            return self.jpeg(image, dice)

        return eight_bits(_each(clean, kinds.tolist(), (white, white_jpeg, camera, plain))), clean


@dataclass(frozen=True)
class Blur:
    """Blind deblurring: shake, moving scenes, defocus, and sharp pictures to be left alone.

    shake, moving, defocus, sharp: shares of the samples, summing to 1.
    max_path: of camera and things during the exposure, in pixels. max_radius: of defocus, in pixels.
    max_sigma: of the noise that follows, in steps of 8 bits. jpeg: what may follow that.
    pristine: the part of all samples that gets neither noise nor JPEG.
    """

    shake: float
    moving: float
    defocus: float
    sharp: float
    max_path: float
    max_radius: float
    max_sigma: float
    jpeg: JpegOptions
    pristine: float

    def pairs(self, scenes: Scenes, count: int, side: int, dice: Dice) -> Pair:
        margin = blur.MARGIN
        outer = side + 2 * margin
        whole = scenes.crops(count, outer, dice)
        kinds = dice.kinds(count, (self.shake, self.moving, self.defocus, self.sharp))

        def shake(image: Tensor) -> Pair:
            return blur.shake(image, dice, self.max_path), image

        def moving(image: Tensor) -> Pair:
            return blur.moving_frames(image, scenes.crops(len(image), outer, dice), dice, self.max_path)

        def defocus(image: Tensor) -> Pair:
            return blur.defocus(image, dice, self.max_radius), image

        def sharp(image: Tensor) -> Pair:
            return image, image

        makers = [lambda image, make=make: torch.cat(make(image), 1) for make in (shake, moving, defocus, sharp)]
        both = _each(whole, kinds.tolist(), makers)[..., margin:-margin, margin:-margin]
        blurred, clean = both[:, :3], both[:, 3:].contiguous()
        spoilt = self.jpeg(noise.gaussian(blurred, dice, self.max_sigma), dice)
        return eight_bits(blurred.where(dice.happens(count, self.pristine), spoilt)), clean


def _each(batch: Tensor, kinds: Sequence[int], makers: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Each sample through the maker of its kind."""
    order = torch.tensor(kinds, device="cpu").argsort(stable=True)
    parts, start = [], 0
    sorted_batch = batch[order.to(batch.device)]
    for kind, make in enumerate(makers):
        number = sum(1 for each in kinds if each == kind)
        if number:
            parts.append(make(sorted_batch[start : start + number]))
        start += number
    return torch.cat(parts)[order.argsort().to(batch.device)]
