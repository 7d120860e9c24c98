"""One job's way into the engine: tiles in, restored tiles out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.engine.dispatcher import Dispatcher
from hub.engine.errors import EngineStopped
from hub.engine.queue import Lane, Tile, TileKind
from hub.errors import Cancelled
from uformer.backends import Backend

DTYPES = ("uint8", "uint16", "float32")
BATCHES_AHEAD = 2

Shape = tuple[int, int]


class EngineSession:
    """Runs tiles through one model, sharing batches with other sessions; a `uformer.restore.TileRunner`.

    What must be compiled for tiles of a shape is compiled in the thread of whoever brings them, never in the engine's.
    """

    def __init__(self, dispatcher: Dispatcher, model: str, backend: Backend, lane: Lane) -> None:
        self._dispatcher = dispatcher
        self._model = model
        self._backend = backend
        self._lane = lane
        self._admitted: set[TileKind] = set()
        self._steady: list[Shape] = []
        self._last_kind: TileKind | None = None

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Yield the restored tiles in order, pulling about two batches of tiles ahead.

        tiles: (h, w, 3) uint8, uint16 or float32 RGB, any mix of shapes; each must stay unchanged until its result has
        been yielded. Results: (h, w, 3) float32, nominally in [0, 1].
        Raises what the backend raised for this session's tile, OutOfMemory among it; what `tiles` raises; Cancelled;
        EngineStopped. However it ends, the tiles still waiting are dropped.
        """
        source = iter(tiles)
        pending: deque[Future[NDArray[np.float32]]] = deque()
        held: set[Shape] = set()
        more = True
        try:
            while True:
                more = more and self._refill(source, pending, held)
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            self._dispatcher.withdraw(self._lane, set(pending))
            self._release(held)

    def prepare(self, shapes: Iterable[Shape]) -> None:
        """Make the model ready for tiles of these (height, width), of which there will be many.

        It stays ready until the session ends, also to give way in the middle of a tile. This works in the caller's
        thread, for seconds per shape that was never compiled on this machine, while other sessions go on. Raises
        Cancelled, asked before each shape, EngineStopped.
        """
        for shape in sorted(shapes):
            self._check_cancelled()
            self._hold(shape, steady=True)
            self._steady.append(shape)

    def warm(self, shape: Shape) -> None:
        """Compile now what `map` would have to for tiles of this (height, width); raises as `prepare`."""
        self._check_cancelled()
        self._hold(shape)
        self._release([shape])

    def close(self) -> None:
        """Drop the waiting tiles and accept no more; whoever waits for one gets Cancelled."""
        self._dispatcher.close_lane(self._lane)
        self._release(self._steady)
        self._steady = []

    def _hold(self, shape: Shape, *, steady: bool = False) -> None:
        try:
            self._backend.prepare(*shape, steady=steady)
        except CancelledError:
            raise EngineStopped from None

    def _release(self, shapes: Iterable[Shape]) -> None:
        for shape in shapes:
            self._backend.release(*shape)

    def _refill(
        self, source: Iterator[NDArray[Any]], pending: deque[Future[NDArray[np.float32]]], held: set[Shape]
    ) -> bool:
        """Submit tiles, a batch's worth at a time, until two batches are pending; False once `source` is exhausted."""
        fresh: list[Tile] = []
        more = True
        while more and len(pending) < BATCHES_AHEAD * self._capacity():
            pixels = next(source, None)
            more = pixels is not None
            if pixels is not None:
                tile = self._tile(pixels)
                if (shape := (tile.kind.height, tile.kind.width)) not in held:
                    self._submit(fresh)  # They need not wait until others can follow.
                    fresh = []
                    self._hold(shape)
                    held.add(shape)
                fresh.append(tile)
                pending.append(tile.future)
            if len(fresh) >= self._capacity():
                self._submit(fresh)
                fresh = []
        self._submit(fresh)
        return more

    def _capacity(self) -> int:
        return 1 if self._last_kind is None else self._dispatcher.capacity(self._last_kind)

    def _submit(self, tiles: list[Tile]) -> None:
        self._check_cancelled()
        if tiles:
            self._dispatcher.submit(tiles)

    def _check_cancelled(self) -> None:
        if self._lane.cancelled is not None and self._lane.cancelled():
            raise Cancelled

    def _tile(self, pixels: NDArray[Any]) -> Tile:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.name not in DTYPES:
            raise ValueError(
                f"A tile must be (h, w, 3) of {', '.join(DTYPES)}, not {pixels.shape} of {pixels.dtype.name}."
            )
        kind = TileKind(self._model, pixels.shape[0], pixels.shape[1], pixels.dtype.name)
        if kind not in self._admitted:
            self._dispatcher.admit(kind, self._backend.max_batch(kind.height, kind.width))
            self._admitted.add(kind)
        self._last_kind = kind
        return Tile(self._lane, kind, pixels)
