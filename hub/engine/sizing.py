"""How many tiles to put into one batch, learnt from what batches cost; pure arithmetic."""

from __future__ import annotations

from hub.engine.queue import TileKind

SMOOTHING = 0.3
# A time beyond this multiple of the estimate counts as this much: such a batch may have waited for a graph to load.
OUTLIER = 2.0
BATCHES_UNTIL_REGROWTH = 50


class BatchSizer:
    """Caps batches by the backend's word, by predicted time, and by what once ran out of memory.

    The time of a batch is predicted as its tiles times the smoothed milliseconds per tile. Where larger batches are
    cheaper per tile this errs towards small ones, and corrects itself as they grow.
    """

    def __init__(self) -> None:
        self._largest: dict[TileKind, int] = {}
        self._per_tile_ms: dict[TileKind, float] = {}
        self._provisional: set[TileKind] = set()
        self._sizes_seen: set[tuple[TileKind, int]] = set()
        self._memory_cap: dict[TileKind, int] = {}
        self._runs_at_cap: dict[TileKind, int] = {}

    def admit(self, kind: TileKind, largest: int) -> None:
        """Note the backend's own limit for `kind`."""
        self._largest[kind] = max(1, largest)

    def capacity(self, kind: TileKind, budget_ms: float) -> int:
        """The most tiles of `kind` for one batch of at most `budget_ms` predicted milliseconds; never below 1."""
        limit = min(self._largest.get(kind, 1), self._memory_cap.get(kind, self._largest.get(kind, 1)))
        per_tile = self._per_tile_ms.get(kind)
        if per_tile is None or per_tile * limit <= budget_ms:
            return limit
        return max(1, int(budget_ms / per_tile))

    def tile_ms(self, kind: TileKind) -> float | None:
        """Predicted milliseconds per tile of `kind`; None before the first was run."""
        return self._per_tile_ms.get(kind)

    def pixel_ms(self, model: str, *, provisional: bool = False) -> float | None:
        """Measured milliseconds per pixel of a model's largest tiles so far; None while only first batches were run.

        provisional: where that is so they count, though some of their time may have gone into making a graph.
        """
        kinds = [kind for kind in self._per_tile_ms if kind.model == model]
        measured = [kind for kind in kinds if kind not in self._provisional]
        largest = max(
            measured or (kinds if provisional else []), key=lambda kind: kind.height * kind.width, default=None
        )
        return None if largest is None else self._per_tile_ms[largest] / (largest.height * largest.width)

    def ran(self, kind: TileKind, count: int, milliseconds: float) -> None:
        """Learn from a batch that succeeded."""
        self._learn_time(kind, count, milliseconds / count)
        cap = self._memory_cap.get(kind)
        if cap is not None and count >= cap:
            self._runs_at_cap[kind] = self._runs_at_cap.get(kind, 0) + 1
            if self._runs_at_cap[kind] >= BATCHES_UNTIL_REGROWTH:
                self._memory_cap[kind] = cap + 1
                self._runs_at_cap[kind] = 0

    def ran_out_of_memory(self, kind: TileKind, count: int) -> None:
        """Halve the cap after a batch of `count` did not fit; it grows back slowly, as shortages pass."""
        self._memory_cap[kind] = max(1, count // 2)
        self._runs_at_cap[kind] = 0

    def _learn_time(self, kind: TileKind, count: int, per_tile: float) -> None:
        # The first batch of a size may pay for compiling a graph. Such a time stands only until a better one comes.
        first = (kind, count) not in self._sizes_seen
        self._sizes_seen.add((kind, count))
        known = self._per_tile_ms.get(kind)
        if known is None or kind in self._provisional:
            self._per_tile_ms[kind] = per_tile
            (self._provisional.add if first else self._provisional.discard)(kind)
        elif not first or per_tile < known:
            # At least a millisecond of growth, lest an estimate of nought stay for ever.
            believed = min(per_tile, max(OUTLIER * known, known + 1))
            self._per_tile_ms[kind] = known + SMOOTHING * (believed - known)
