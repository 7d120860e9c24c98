"""Restoring an image of any size: tiles out, restored tiles back, blended into an image of the same kind.

Knows arrays and a runner of tiles; no model, device, file or user.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from uformer.backends import FULL_SCALE, Backend, OutOfMemory
from uformer.mosaic import assemble, cut, mix
from uformer.tiling import MULTIPLE, TilePlan, plan_tiles, plan_whole, round_up

# Rows that are blended or rounded at a time: bounds the float32 copy.
STRIP = 256


class RestoreCancelled(Exception):
    """The caller's `cancelled` said so."""


class TileRunner(Protocol):
    """Whatever puts tiles through a network."""

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Yield each tile restored, in order, pulling only a few tiles ahead.

        tiles: (h, w, 3) uint8, uint16 or float32 RGB, sides multiples of 128, shapes may differ.
        Yields (h, w, 3) float32, nominally in [0, 1], not clamped. Raises OutOfMemory when a tile is too large.
        """
        ...


class BackendRunner:
    """A TileRunner over one backend, for whoever has it alone: equal neighbours go in batches."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Yield each tile restored, in order; see TileRunner."""
        batch: list[NDArray[Any]] = []
        for tile in tiles:
            if batch and (tile.shape != batch[0].shape or len(batch) >= self._backend.max_batch(*batch[0].shape[:2])):
                yield from self._run(batch)
                batch = []
            batch.append(tile)
        if batch:
            yield from self._run(batch)

    def _run(self, batch: list[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Run one batch, halved for as long as it does not fit."""
        try:
            yield from self._backend.run(np.stack(batch))
        except OutOfMemory:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            yield from self._run(batch[:half])
            yield from self._run(batch[half:])


@dataclass(frozen=True)
class RestoreOptions:
    """How an image is cut up, and how much of the restoration is kept.

    tile: side of a tile, a multiple of 128; None plans tiles for the image. overlap: least number of pixels that
        neighbouring tiles share, rounded up to a multiple of 32.
    whole: the image in one piece, as far as the restorer's `max_whole_pixels` allows; beyond it the largest tiles.
    strength: 0 gives the original, 1 the restoration, between them their blend.
    """

    tile: int | None = None
    overlap: int = 64
    whole: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be from 0 to 1, not {self.strength}.")
        if self.tile is not None and (self.tile < MULTIPLE or self.tile % MULTIPLE):
            raise ValueError(f"tile must be a multiple of {MULTIPLE}, not {self.tile}.")
        if self.overlap < 0 or (self.tile is not None and 2 * self.overlap > self.tile):
            raise ValueError(f"overlap must be from 0 to half a tile, not {self.overlap}.")


@dataclass(frozen=True)
class RestoreReport:
    """How an image was restored: largest tile, smallest overlap, number of tiles, and notes for people."""

    tile_height: int
    tile_width: int
    overlap: int
    tiles: int
    whole: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: TilePlan, notes: Iterable[str]) -> Self:
        """The report on an image that was restored by `plan`."""
        height, width = plan.largest
        return cls(height, width, plan.overlap, plan.tiles, plan.tiles == 1, tuple(notes))


@dataclass(frozen=True)
class Restored:
    """A restored image, of the kind that went in, and how it was made."""

    image: NDArray[Any]
    report: RestoreReport


class Restorer:
    """Restores images of any size with a runner of tiles.

    max_tile_pixels: largest planned tile. max_whole_pixels: largest image that goes through in one piece when asked.
    """

    def __init__(self, runner: TileRunner, *, max_tile_pixels: int, max_whole_pixels: int) -> None:
        self._runner = runner
        self._max_tile_pixels = max_tile_pixels
        self._max_whole_pixels = max_whole_pixels

    def restore(
        self,
        image: NDArray[Any],
        options: RestoreOptions | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Restored:
        """Restore an image; the result has its shape and type.

        image: (H, W) or (H, W, 1 to 4), uint8, uint16 or float32: grey or RGB, then alpha if the number of channels is
            even. Integers span their type's range, floats [0, 1]. Grey is restored as grey, alpha is left as it is.
        progress: told (tiles done, tiles in all). cancelled: asked before every tile.
        Raises ValueError for other arrays and floats that are not finite, RestoreCancelled, and OutOfMemory when not
        even the smallest tile fits.
        """
        options = options or RestoreOptions()
        _check(image)
        notes: list[str] = []
        plan = self._plan(image, options, notes)
        while True:
            try:
                pixels = self._run(image, plan, options.strength, progress, cancelled)
                break
            except OutOfMemory:
                plan = shrink(plan, options.overlap, notes)
        return Restored(pixels, RestoreReport.of(plan, notes))

    def _plan(self, image: NDArray[Any], options: RestoreOptions, notes: list[str]) -> TilePlan:
        """Tiles for `image`."""
        height, width = image.shape[:2]
        if not options.whole:
            return plan_tiles(
                height, width, max_pixels=self._max_tile_pixels, overlap=options.overlap, tile=options.tile
            )
        padded = round_up(height) * round_up(width)
        if padded <= self._max_whole_pixels:
            return plan_whole(height, width)
        plan = plan_tiles(height, width, max_pixels=self._max_whole_pixels, overlap=options.overlap)
        tall, wide = plan.largest
        notes.append(
            f"Too large to restore in one piece ({padded / 1e6:.2f} megapixels with its margins, at most "
            f"{self._max_whole_pixels / 1e6:.2f}): done in tiles of {wide}x{tall} pixels."
        )
        return plan

    def _run(
        self,
        image: NDArray[Any],
        plan: TilePlan,
        strength: float,
        progress: Callable[[int, int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> NDArray[Any]:
        """Restore by `plan`, telling `progress` of every tile as it returns."""

        def counted(tiles: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
            for done, tile in enumerate(tiles, 1):
                if progress is not None:
                    progress(done, plan.tiles)
                yield tile

        if progress is not None:
            progress(0, plan.tiles)
        with closing(as_generator(self._runner.map(until_cancelled(cut(image, plan), cancelled)))) as restored:
            return assemble(image, plan, counted(restored), strength)


def blend(original: NDArray[Any], restored: NDArray[Any], strength: float) -> NDArray[Any]:
    """Mix two images of the same shape and type: 0 gives the original, 1 the restored one; rounded once.

    Raises ValueError when they differ in kind, or for a strength outside 0 to 1.
    """
    if original.shape != restored.shape or original.dtype != restored.dtype:
        raise ValueError(
            f"Only images of one kind blend, not {original.shape} {original.dtype} and "
            f"{restored.shape} {restored.dtype}."
        )
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be from 0 to 1, not {strength}.")
    scale = np.float32(FULL_SCALE[original.dtype.name])
    result = np.empty_like(original)
    for top in range(0, len(original), STRIP):
        part = slice(top, top + STRIP)
        result[part] = mix(original[part], restored[part].astype(np.float32) / scale, strength)
    return result


def shrink(plan: TilePlan, overlap: int, notes: list[str]) -> TilePlan:
    """A plan of tiles of at most half the size, noted in `notes`; raises OutOfMemory if there is none."""
    height, width = plan.largest
    if height * width <= MULTIPLE**2:
        raise OutOfMemory(f"Not even a tile of {MULTIPLE}x{MULTIPLE} pixels fits into memory.")
    # Tiles as small as these cannot share more than half of themselves.
    smaller = max(MULTIPLE**2, height * width // 2)
    plan = plan_tiles(plan.height, plan.width, max_pixels=smaller, overlap=min(overlap, MULTIPLE // 2))
    height, width = plan.largest
    notes.append(f"Too little memory for larger tiles: {width}x{height} pixels were used.")
    return plan


def until_cancelled(
    tiles: Iterable[NDArray[Any]], cancelled: Callable[[], bool] | None
) -> Generator[NDArray[Any], None, None]:
    """`tiles`, until `cancelled`, asked before each of them, ends them with RestoreCancelled."""
    for tile in tiles:
        if cancelled is not None and cancelled():
            raise RestoreCancelled
        yield tile


def as_generator(tiles: Iterator[NDArray[np.float32]]) -> Generator[NDArray[np.float32], None, None]:
    """`tiles` as a generator, so that closing it closes whatever runs them."""
    yield from tiles


def _check(image: NDArray[Any]) -> None:
    """Raise ValueError, saying what would be right, unless `image` is one that can be restored."""
    if image.dtype.name not in FULL_SCALE:
        raise ValueError(f"An image is of {', '.join(FULL_SCALE)}, not {image.dtype}.")
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4) or 0 in image.shape:
        raise ValueError(f"An image is (H, W) or (H, W, 1 to 4) with at least one pixel, not {image.shape}.")
    if image.dtype.kind == "f" and not all(
        np.isfinite(image[top : top + STRIP]).all() for top in range(0, len(image), STRIP)
    ):
        raise ValueError("The image holds NaN or infinite values.")
