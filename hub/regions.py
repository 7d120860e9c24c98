"""One region of a photo, restored as the whole photo would be, in the time that the region takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from hub.media.photo import Photo
from hub.restoration import RestoreLimits, restore_photo
from uformer.restore import RestoreOptions, TileRunner
from uformer.tiling import Span, crop, round_up

SIDE = 512
GRID = 64
"""Regions start on multiples of this, so that attention windows lie where the whole photo has them."""
CONTEXT = 64
"""Pixels around a region that the network sees too: from there on agrees what it makes of tiles and of the whole."""


@dataclass(frozen=True)
class Region:
    """A part of a photo, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def near(cls, left: float, top: float, photo_width: int, photo_height: int) -> Self:
        """The region of at most 512 x 512 pixels on the grid whose corner is nearest to a place."""
        x, width = _along(left, photo_width)
        y, height = _along(top, photo_height)
        return cls(x, y, width, height)

    def of(self, photo: Photo) -> Photo:
        """These pixels of a photo."""
        rows, columns = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        return replace(photo, pixels=photo.pixels[rows, columns])


def restore_region(
    photo: Photo, region: Region, runner: TileRunner, options: RestoreOptions, *, limits: RestoreLimits
) -> Photo:
    """The pixels of `region` as in the restored photo: within rounding, as tiles are of the whole.

    The photo is extended at its own edges as its whole restoration extends it.
    Raises InvalidInput (`not_restorable`), HubError (`out_of_memory`), Cancelled.
    """
    rows, columns = (
        Span(*_seen(start, length), fade_in=0, fade_out=0)
        for start, length in ((region.top, photo.pixels.shape[0]), (region.left, photo.pixels.shape[1]))
    )
    seen = replace(photo, pixels=crop(photo.pixels, rows, columns))
    restored, _ = restore_photo(seen, runner, options, limits=limits)
    inner = Region(region.left - columns.start, region.top - rows.start, region.width, region.height)
    return inner.of(restored)


def _along(place: float, length: int) -> tuple[int, int]:
    """Start and length, along one axis, of the region nearest to `place`."""
    last = -(-max(0, length - SIDE) // GRID) * GRID
    start = min(max(round(place / GRID) * GRID, 0), last)
    return start, min(SIDE, length - start)


def _seen(start: int, length: int) -> tuple[int, int]:
    """Start and size, along one axis, of what the network sees of a region: a multiple of 128 as the whole photo."""
    extended = round_up(length)
    size = min(SIDE + 2 * CONTEXT, extended)
    return min(max(start - CONTEXT, 0), extended - size), size
