"""An image as tiles and back: cut along a plan, and the restored tiles blended into an image of the same kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uformer.backends import FULL_SCALE
from uformer.tiling import TilePlan, crop


def cut(image: NDArray[Any], plan: TilePlan) -> Iterator[NDArray[Any]]:
    """The tiles of `image`, row by row: (h, w, 3) of its type, grey repeated, alpha left out.

    image: (H, W) or (H, W, 1 to 4): grey or RGB, then alpha if the number of channels is even.
    """
    colours = _colours(_planes(image))
    for row, column in product(plan.rows, plan.columns):
        tile = crop(colours, row, column)
        yield tile if tile.shape[2] == 3 else np.repeat(tile, 3, axis=2)


def assemble(
    image: NDArray[Any], plan: TilePlan, restored: Iterator[NDArray[np.float32]], strength: float = 1.0
) -> NDArray[Any]:
    """Blend the restored tiles of `image`, in the order of `cut`, into an image of its shape and type.

    restored: (h, w, 3) float32, nominally in [0, 1]; no more than the plan's tiles are taken.
    strength: 0 gives `image`, 1 the restoration. Alpha is copied, integers are rounded once.
    One row of tiles at a time is blended in float32, and rounded once it is complete.
    """
    planes = _planes(image)
    colours = _colours(planes)
    result = np.empty_like(planes)
    result[..., colours.shape[2] :] = planes[..., colours.shape[2] :]
    carried: NDArray[np.float32] | None = None
    for index, row in enumerate(plan.rows):
        # The margin that only extends the image is not kept: it may be much larger than a thin image.
        kept = min(row.size, plan.height - row.start)
        strip = np.zeros((max(kept, 0), plan.width, colours.shape[2]), np.float32)
        if carried is not None:
            strip[: len(carried)] = carried[: len(strip)]
        down = row.weights()[: len(strip), None, None]
        for column in plan.columns:
            tile = next(restored)
            if colours.shape[2] == 1:
                tile = tile.mean(axis=2, keepdims=True)
            across = column.weights()[None, : max(plan.width - column.start, 0), None]
            part = tile[: len(strip), : across.shape[1]]
            strip[:, column.start : column.stop] += part * (down * across)
        finished = plan.rows[index + 1].start - row.start if index + 1 < len(plan.rows) else row.size
        stop = min(row.start + finished, plan.height)
        into = result[row.start : stop, :, : colours.shape[2]]
        into[:] = mix(colours[row.start : stop], strip[: stop - row.start], strength)
        carried = strip[finished:].copy()
    return result.reshape(image.shape)


def mix(original: NDArray[Any], restored: NDArray[np.float32], strength: float) -> NDArray[Any]:
    """Blend float32 `restored` (nominal [0, 1]) with `original`, in the type of the latter; rounded once."""
    scale = np.float32(FULL_SCALE[original.dtype.name])
    mixed = restored * scale
    if strength < 1:
        mixed = original + np.float32(strength) * (mixed - original)
    if original.dtype.kind == "f":
        return mixed.astype(np.float32, copy=False)
    rounded: NDArray[Any] = np.clip(np.rint(mixed), 0, scale).astype(original.dtype)
    return rounded


def _planes(image: NDArray[Any]) -> NDArray[Any]:
    """`image` as (H, W, channels)."""
    return image if image.ndim == 3 else image[..., None]


def _colours(planes: NDArray[Any]) -> NDArray[Any]:
    """`planes` without alpha: one channel or three."""
    return planes[..., : 1 if planes.shape[2] < 3 else 3]
