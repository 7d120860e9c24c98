"""Fixed pictures, degraded in fixed ways, that a run is measured on while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from uformer.architecture import MULTIPLE
from uformer.metrics import psnr, ssim
from uformer.training import blur
from uformer.training.dice import Dice
from uformer.training.light import eight_bits
from uformer.training.photos import SUFFIXES, read_photo

SIGMAS = (15, 25, 50)
_PATH = 16.0
_SEED = 4711

Scores = dict[str, dict[str, float]]


class Validation:
    """Photos of a folder, cut to multiples of 128.

    task: `denoise` measures at white noise of sigma 15, 25 and 50; `deblur` with camera shake and without blur.
    images: at most so many of them. Raises ValueError for a folder without photos.
    """

    def __init__(self, folder: Path, task: str, device: torch.device, images: int) -> None:
        self._device = device
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        self._pictures = list(islice(_pictures(paths), images))
        if not self._pictures:
            raise ValueError(f"{folder} holds no photo of {MULTIPLE} pixels or more on both sides.")
        self._conditions: dict[str, Callable[[Tensor, Dice], Tensor]] = (
            {"shake": _shaken, "sharp": lambda picture, _: picture}
            if task == "deblur"
            else {f"sigma {sigma}": _noisy(sigma) for sigma in SIGMAS}
        )

    @torch.no_grad()
    def measure(self, model: nn.Module) -> Scores:
        """Mean PSNR (dB) and SSIM of each condition: of the input, and as `model` restores it, in 8 bits."""
        return {name: self._condition(model, degrade) for name, degrade in self._conditions.items()}

    def _condition(self, model: nn.Module, degrade: Callable[[Tensor, Dice], Tensor]) -> dict[str, float]:
        rows = []
        for index, picture in enumerate(self._pictures):
            true = picture.to(self._device)
            # Always drawn on the CPU, so that every machine measures the same.
            degraded = eight_bits(degrade(picture, Dice(_SEED, index, torch.device("cpu")))).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16):
                output = model(degraded)
            restored = eight_bits(output.float())
            rows.append([psnr(degraded, true), psnr(restored, true), ssim(degraded, true), ssim(restored, true)])
        # A sharp picture that comes back as it was has no error at all.
        means = torch.tensor(rows, dtype=torch.float64).clamp(max=100).mean(0).tolist()
        return dict(zip(("input_psnr", "psnr", "input_ssim", "ssim"), means, strict=True))


def _pictures(paths: Iterable[Path]) -> Iterator[Tensor]:
    """Those that are large enough: (1, 3, H, W) on the CPU."""
    for path in paths:
        image = read_photo(path)
        height, width = (side // MULTIPLE * MULTIPLE for side in image.shape[:2])
        if height and width:
            yield torch.from_numpy(image[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255


def _noisy(sigma: int) -> Callable[[Tensor, Dice], Tensor]:
    return lambda picture, dice: picture + sigma / 255 * dice.normal(picture.shape)


def _shaken(picture: Tensor, dice: Dice) -> Tensor:
    margin = blur.MARGIN
    padded = functional.pad(picture, (margin,) * 4, mode="reflect")
    return blur.shake(padded, dice, _PATH)[..., margin:-margin, margin:-margin]
