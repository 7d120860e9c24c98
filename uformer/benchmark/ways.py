"""The ways to run a network that are compared, and what each is asked to do."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from uformer.architecture import VARIANTS
from uformer.backends import open_backend
from uformer.devices import find_device, suitable_extents
from uformer.model import Uformer
from uformer.modelfile import weights_of
from uformer.restore import BackendRunner, Restorer
from uformer.tiling import plan_tiles

PLAIN = "plain"
PLAIN_TILE = 256
OVERLAP = 64

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Way:
    """A backend with its precision on a device; `plain` is how the paper's network is commonly served.

    That is float32, eager, 256-pixel tiles one by one, without overlap, on the same device.
    """

    name: str
    device: str
    precision: str = "float32"
    cpu_backend: str = "torch"


class Opened(Protocol):
    """A way with a network, ready to run."""

    def run(self, batch: Pixels) -> None:
        """Restore (B, h, w, 3) tiles, and wait until that is done."""

    def prepare(self, height: int, width: int) -> None:
        """Compile what an image of that size needs."""

    def restore(self, image: Pixels) -> None:
        """Restore an image of any size, as that way does."""

    def best_batch(self, side: int) -> int:
        """How many square tiles at once are best."""


def ways_of(device: str) -> list[Way]:
    """All ways of a device, the plain one first. Raises ValueError for a device that is not there."""
    device = find_device(device)
    if device != "cpu":
        return [Way(PLAIN, device), Way("torch float32", device), Way("torch bfloat16", device, "bfloat16")]
    ways = [Way(PLAIN, device)]
    for library in ("torch", "openvino"):
        if importlib.util.find_spec(library) is not None:
            ways += [Way(f"{library} {kind}", device, kind, library) for kind in ("float32", "bfloat16")]
    return ways


def open_way(way: Way, variant: str, threads: int | None = None) -> Opened:
    """A way with a network of that variant, with random weights: they cost the same as any."""
    torch.manual_seed(0)
    model = Uformer(VARIANTS[variant]).eval().requires_grad_(False)
    if way.name == PLAIN:
        return _Plain(model, way.device, threads)
    return _Backend(way, model, threads)


class _Plain:
    def __init__(self, model: Uformer, device: str, threads: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._model = model.to(self._device)

    def run(self, batch: Pixels) -> None:
        with torch.inference_mode():
            pixels = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float() / 255
            self._model(pixels).cpu()

    def prepare(self, height: int, width: int) -> None:
        del height, width  # Eager PyTorch is ready for everything.

    def restore(self, image: Pixels) -> None:
        down, across = (math.ceil(side / PLAIN_TILE) for side in image.shape[:2])
        padded = np.zeros((down * PLAIN_TILE, across * PLAIN_TILE, 3), np.uint8)
        padded[: image.shape[0], : image.shape[1]] = image
        for top in range(0, padded.shape[0], PLAIN_TILE):
            for left in range(0, padded.shape[1], PLAIN_TILE):
                self.run(padded[None, top : top + PLAIN_TILE, left : left + PLAIN_TILE])

    def best_batch(self, side: int) -> int:
        del side
        return 1


class _Backend:
    def __init__(self, way: Way, model: Uformer, threads: int | None) -> None:
        self._backend = open_backend(
            weights_of(model),
            device=way.device,
            precision=way.precision,
            cpu_backend=way.cpu_backend,
            threads=threads,
        )
        self._prepared: set[tuple[int, int]] = set()
        extents = suitable_extents(way.device)
        self._tile_pixels = extents.tile
        self._restorer = Restorer(
            BackendRunner(self._backend), max_tile_pixels=extents.tile, max_whole_pixels=extents.whole
        )

    def run(self, batch: Pixels) -> None:
        side = batch.shape[1]
        if (side, side) not in self._prepared:
            self._backend.prepare(side, side)
            self._prepared.add((side, side))
        self._backend.run(batch)

    def prepare(self, height: int, width: int) -> None:
        plan = plan_tiles(height, width, max_pixels=self._tile_pixels, overlap=OVERLAP)
        for shape in plan.shapes - self._prepared:
            self._backend.prepare(*shape)
            self._prepared.add(shape)

    def restore(self, image: Pixels) -> None:
        self._restorer.restore(image)

    def best_batch(self, side: int) -> int:
        return self._backend.max_batch(side, side)


def timed(work: Callable[[], None], clock: Callable[[], float]) -> float:
    """Seconds that `work` takes by `clock`."""
    began = clock()
    work()
    return clock() - began
