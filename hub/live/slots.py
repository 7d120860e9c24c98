"""The few places of frames that are worked on at once, and how a frame leaves its own while it must wait."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.engine import EngineSession


class Slots:
    """Lets so many frames of all clients be worked on at once: a context for each of them."""

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def __enter__(self) -> None:
        self._free.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._free.release()

    def runner(self, session: EngineSession, warmed: set[tuple[int, int]]) -> SlotRunner:
        """Runs the tiles of a frame that has a slot. warmed: shapes that need no compiling; new ones are added."""
        return SlotRunner(session, self._free, warmed)


class SlotRunner:
    """A `uformer.restore.TileRunner` that leaves the slot to others while tiles of a new shape are prepared for."""

    def __init__(self, session: EngineSession, slot: threading.Semaphore, warmed: set[tuple[int, int]]) -> None:
        self._session = session
        self._slot = slot
        self._warmed = warmed

    def map(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """As EngineSession.map."""
        return self._session.map(self._prepared(tiles))

    def _prepared(self, tiles: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for tile in tiles:
            height, width = tile.shape[:2]
            if (height, width) not in self._warmed:
                self._slot.release()
                try:
                    self._session.warm((height, width))
                finally:
                    self._slot.acquire()
                self._warmed.add((height, width))
            yield tile
