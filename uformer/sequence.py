"""Restoring a clip frame by frame: all frames in the same tiles, those of following frames in flight together.

Knows arrays and a runner of tiles, as `restore.py` does; no container, codec or time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from uformer.backends import OutOfMemory
from uformer.mosaic import assemble, cut
from uformer.restore import RestoreOptions, RestoreReport, TileRunner, as_generator, shrink, until_cancelled
from uformer.tiling import TilePlan, plan_tiles


class SequenceRestorer:
    """Restores the frames of a clip, all with the same tiles, so that what stands still is computed alike.

    options: `tile` and `overlap`; a clip is restored in tiles and in full strength.
    max_tile_pixels: largest planned tile. shrinks: how often memory ran out before; the tiles are those of then.
    Raises ValueError for options that ask for more.
    """

    def __init__(
        self,
        runner: TileRunner,
        height: int,
        width: int,
        options: RestoreOptions | None = None,
        *,
        max_tile_pixels: int,
        shrinks: int = 0,
    ) -> None:
        options = options or RestoreOptions()
        if options.whole or options.strength != 1:
            raise ValueError("A clip is restored in tiles and in full strength: whole must be False and strength 1.")
        self._runner = runner
        self._overlap = options.overlap
        self._plan = plan_tiles(height, width, max_pixels=max_tile_pixels, overlap=options.overlap, tile=options.tile)
        self._notes: list[str] = []
        self._shrinks = 0
        while self._shrinks < shrinks:
            self._shrink()
        self._kind: tuple[tuple[int, ...], str] | None = None

    @property
    def plan(self) -> TilePlan:
        """The tiles of every frame; smaller ones once memory has run out."""
        return self._plan

    @property
    def shrinks(self) -> int:
        """How often memory ran out, so that the tiles became smaller."""
        return self._shrinks

    @property
    def report(self) -> RestoreReport:
        """How the frames are restored, as of now."""
        return RestoreReport.of(self._plan, self._notes)

    def restore(
        self, frames: Iterable[NDArray[Any]], *, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[NDArray[Any]]:
        """Yield each frame restored, in order, of its shape and type.

        frames: (H, W) or (H, W, 1 to 4), uint8 or uint16, all alike: grey or RGB, then alpha if the number of channels
            is even. Pulled as the runner asks for tiles, so only the few in flight are held. A frame must stay
            unchanged until its result has been yielded.
        cancelled: asked before every tile.
        It may be called again, for further frames of the clip. When memory runs out, smaller tiles are used from then
        on, from the first frame not yet yielded.
        Raises ValueError for frames of another kind, what `frames` raises, RestoreCancelled, and OutOfMemory when not
        even the smallest tile fits; frames not yet yielded are dropped then.
        """
        source = iter(frames)
        flying: deque[NDArray[Any]] = deque()
        while True:
            tiles = until_cancelled(self._launch(chain(tuple(flying), source), flying), cancelled)
            flying.clear()
            try:
                with closing(as_generator(self._runner.map(tiles))) as restored:
                    for first in restored:
                        result = assemble(flying[0], self._plan, chain([first], restored))
                        flying.popleft()
                        yield result
            except OutOfMemory:
                self._shrink()
            else:
                return

    def _launch(self, frames: Iterable[NDArray[Any]], flying: deque[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """The tiles of all frames; each frame joins `flying` before its first tile is yielded."""
        plan = self._plan
        for frame in frames:
            self._check(frame)
            flying.append(frame)
            yield from cut(frame, plan)

    def _shrink(self) -> None:
        self._plan = shrink(self._plan, self._overlap, self._notes)
        self._shrinks += 1

    def _check(self, frame: NDArray[Any]) -> None:
        """Raise ValueError, saying what would be right, unless `frame` is one of this clip's."""
        size = (self._plan.height, self._plan.width)
        shape, dtype = frame.shape, frame.dtype.name
        if dtype not in ("uint8", "uint16") or shape not in (size, *((*size, channels) for channels in range(1, 5))):
            raise ValueError(
                f"A frame of this clip is uint8 or uint16 of shape {size} or (*{size}, 1 to 4), not {dtype} of {shape}."
            )
        self._kind = self._kind or (shape, dtype)
        if (shape, dtype) != self._kind:
            raise ValueError(
                f"All frames of a clip are alike: {self._kind[1]} of {self._kind[0]}, not {dtype} of {shape}."
            )
