"""Into what pieces a Uformer is cut, and what lies in memory between them: arithmetic alone.

Pieces are short, so that others may run between them. Each goes over its maps in strips of whole rows, so that what
its graph needs for itself stays small, and what it computes is the same in whatever strips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from uformer.architecture import SHIFT, STAGES, WIDENING, WINDOW, UformerConfig


class Rows(Enum):
    """Which rows of a map the strip from `a` to `b` takes; maps are stored so that these always follow each other.

    PLAIN: a to b. HALO: a - 1 to b + 1, noughts beyond the edges. SHIFTED: a + 4 to b + 4, the top after the bottom.
    """

    PLAIN = 0
    HALO = 1
    SHIFTED = 2


@dataclass(frozen=True)
class MapShape:
    """A feature map between pieces, tokens in raster order.

    storage: maps of one storage never live at the same time. wide: float32 whatever the precision.
    """

    name: str
    storage: str
    height: int
    width: int
    dim: int
    wide: bool = False


@dataclass(frozen=True)
class Port:
    """A map as a piece reads or writes it."""

    map: MapShape
    rows: Rows = Rows.PLAIN

    def span(self, strip: int, strips: int) -> tuple[int, int]:
        """The rows of one strip of so many: from -1 or 0 to at most 4 beyond the map's height."""
        rows = self.map.height // strips
        before, after = {Rows.PLAIN: (0, 0), Rows.HALO: (-1, 1), Rows.SHIFTED: (SHIFT, SHIFT)}[self.rows]
        return strip * rows + before, (strip + 1) * rows + after


@dataclass(frozen=True)
class Piece:
    """A part of the network that runs strip by strip.

    part: `mix` is all up to a block's LeFF's depth-wise convolution, `feed` the rest of the block, `output` the end.
    """

    part: Literal["mix", "feed", "output"]
    stage: int
    block: int
    strips: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def plan_pieces(config: UformerConfig, height: int, width: int, strip_numbers: int) -> list[Piece]:
    """The pieces of a network for tiles of height × width, multiples of 128, in the order in which they run.

    strip_numbers: about how many numbers a strip of a stage's map may have.

    The first one reads the map `image`, RGB in [0, 1]; the last one writes the map `residual`, what the network would
    add to it. Both are float32.
    """
    return list(_plan(config, height, width, strip_numbers))


def _plan(config: UformerConfig, height: int, width: int, strip_numbers: int) -> Iterator[Piece]:
    below = Port(MapShape("image", "image", height, width, 3, wide=True), Rows.HALO)
    skips: list[MapShape] = []
    for stage, depth in enumerate(config.depths):
        decodes = stage > STAGES
        level = config.level(stage)
        h, w, dim = height >> level, width >> level, config.width(stage)
        x = MapShape(f"x{stage}", f"x{stage}", h, w, dim)
        y = MapShape(f"y{stage}", "y", h, w, dim)
        hidden = MapShape(f"hidden{stage}", "hidden", h, w, WIDENING * dim)
        strips = _strips(h, w * dim, strip_numbers)
        for block in range(depth):
            rows = Rows.SHIFTED if config.shifts(stage, block) else Rows.PLAIN
            inputs = [Port(x, rows)] if block else [below]
            if decodes and not block:
                inputs.append(Port(skips.pop()))
            yield Piece("mix", stage, block, strips, tuple(inputs), (Port(y, rows), Port(hidden, rows)))
            yield Piece("feed", stage, block, strips, (Port(hidden, Rows.HALO), Port(y)), (Port(x),))
        if stage < STAGES:
            skips.append(x)
        below = Port(x, Rows.HALO if stage < STAGES else Rows.PLAIN)
    residual = MapShape("residual", "residual", height, width, 3, wide=True)
    yield Piece("output", len(config.depths), 0, strips, (Port(x, Rows.HALO),), (Port(residual),))


def _strips(height: int, numbers: int, limit: int) -> int:
    """Into how many strips of whole windows, of at most `limit` numbers, a map of `height` rows of `numbers` is cut."""
    windows = height // WINDOW
    fitting = max(1, limit // (WINDOW * numbers))
    return next(n for n in range(math.ceil(windows / fitting), windows + 1) if windows % n == 0)
