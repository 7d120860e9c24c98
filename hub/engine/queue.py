"""Which tiles form the next batch: pure bookkeeping, without threads, locks or clocks.

A lane is one session's waiting tiles. The lane whose turn it is in the priority whose turn it is leads a batch with its
oldest tile; the batch is then dealt out among all lanes that hold tiles of the same kind. The batches that follow keep
to the same graphs for a slice of time, because a backend may take long to load others.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from hub.engine.shares import Priority, Shares

Graph = tuple[str, int, int]


@dataclass(frozen=True)
class TileKind:
    """What tiles must have in common to share a batch; sides in pixels."""

    model: str
    height: int
    width: int
    dtype: str

    @property
    def graph(self) -> Graph:
        """What a backend loads for such tiles: model, height, width."""
        return self.model, self.height, self.width


@dataclass(eq=False)
class Tile:
    """One tile on its way through the engine.

    pixels: (h, w, 3) RGB.
    alone: it was in a batch that failed, so it runs by itself to show whose fault that was.
    """

    lane: Lane
    kind: TileKind
    pixels: NDArray[Any]
    future: Future[NDArray[Any]] = field(default_factory=Future)
    alone: bool = False
    order: int = 0

    @property
    def group(self) -> tuple[TileKind, int | None]:
        """Tiles of equal group may share a batch."""
        return self.kind, self.order if self.alone else None


Group = tuple[TileKind, int | None]


class Lane:
    """One session's waiting tiles.

    cancelled: asked by the owner of the queue before each batch, never by the queue.
    served: milliseconds of accelerator time, and last_turn, among equals: who had a tile in a batch longest ago leads.
    fresh: no tile of it was ever in a batch.
    context: that of the session, task's id in the log included; what is done for its tiles is done in a copy of it.
    """

    def __init__(self, priority: Priority, cancelled: Callable[[], bool] | None = None) -> None:
        self.priority = priority
        self.cancelled = cancelled
        self.open = True
        self.served = 0.0
        self.last_turn = 0
        self.fresh = True
        self.context = copy_context()
        self._groups: dict[Group, deque[Tile]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def holds(self, group: Group) -> bool:
        """Whether a tile of `group` waits here."""
        return group in self._groups

    def oldest(self, graphs: Collection[Graph] | None = None) -> Tile | None:
        """The tile that was submitted first, of those for `graphs` (None: of all); None if none waits."""
        firsts = [tiles[0] for (kind, _), tiles in self._groups.items() if graphs is None or kind.graph in graphs]
        return min(firsts, key=lambda tile: tile.order, default=None)

    def append(self, tile: Tile) -> None:
        """Queue a new tile behind the others."""
        self._groups.setdefault(tile.group, deque()).append(tile)

    def put_back(self, tile: Tile) -> None:
        """Queue a tile that was taken before, ahead of the others."""
        self._groups.setdefault(tile.group, deque()).appendleft(tile)

    def take(self, group: Group) -> Tile:
        """Remove and return the oldest tile of `group`; KeyError if none waits."""
        tiles = self._groups[group]
        tile = tiles.popleft()
        if not tiles:
            del self._groups[group]
        return tile

    def drop(self, futures: Collection[Future[NDArray[Any]]] | None = None) -> list[Tile]:
        """Remove and return the tiles with these futures (None: all)."""
        dropped: list[Tile] = []
        kept: dict[Group, deque[Tile]] = {}
        for group, tiles in self._groups.items():
            for tile in tiles:
                if futures is None or tile.future in futures:
                    dropped.append(tile)
                else:
                    kept.setdefault(group, deque()).append(tile)
        self._groups = kept
        return dropped


@dataclass(eq=False)
class _Slice:
    """A while during which the batches of one priority keep to the graphs that one lane needs.

    leader: that lane while it is open: its tiles bring in new graphs, the other lanes only join in. for_newcomer: it
    was fresh. spent: predicted milliseconds of the batches until now.
    """

    leader: Lane | None
    for_newcomer: bool
    graphs: set[Graph] = field(default_factory=set)
    spent: float = 0.0

    def offer(self, lane: Lane) -> Tile | None:
        """The tile with which `lane` would lead the next batch of this slice."""
        return lane.oldest(None if lane is self.leader else self.graphs)


class TileQueue:
    """The waiting tiles of all sessions, and the policy that picks the next batch.

    Between priorities the most urgent goes first, within limits: see Shares. Within one priority, lanes share the
    accelerator's time and not its tiles: the lane that was served least leads, so neither a deep queue nor costly tiles
    buy a larger share. With tiles of equal cost that is plain round-robin. A lane that was idle starts level with the
    others: idleness earns no credit.

    slice_ms: predicted milliseconds for which a priority keeps to the graphs of the lane that leads, and to lanes that
    need the same; so a lane with other graphs gets the next slice and not the next batch. A batch that would exceed the
    slice begins another, and so does one of unknown cost. Every other slice goes to a newcomer, if there is one: a
    small photo is served after the current slice, however many large ones are in progress.
    """

    def __init__(self, slice_ms: float = 0.0) -> None:
        self._slice_ms = slice_ms
        self._shares = Shares()
        self._slices: dict[Priority, _Slice] = {}
        self._lanes: dict[Priority, list[Lane]] = {priority: [] for priority in Priority}
        self._level = dict.fromkeys(Priority, 0.0)
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return sum(self.waiting().values())

    def waiting(self) -> dict[Priority, int]:
        """Number of waiting tiles per priority."""
        return {priority: sum(map(len, lanes)) for priority, lanes in self._lanes.items()}

    def open_lane(self, lane: Lane) -> None:
        """Let `lane` take part."""
        lane.last_turn = next(self._numbers)
        self._lanes[lane.priority].append(lane)

    def close_lane(self, lane: Lane) -> list[Tile]:
        """Take `lane` out and return its waiting tiles; closing twice does nothing."""
        if lane.open:
            lane.open = False
            self._lanes[lane.priority].remove(lane)
            current = self._slices.get(lane.priority)
            if current is not None and current.leader is lane:
                current.leader = None
        return lane.drop()

    def lanes(self, priority: Priority | None = None) -> list[Lane]:
        """The open lanes of one priority, or of all."""
        return [lane for key, lanes in self._lanes.items() if priority in (None, key) for lane in lanes]

    def add(self, tile: Tile) -> None:
        """Queue a new tile in its lane."""
        lane = tile.lane
        if not lane:
            lane.served = max(lane.served, self._level[lane.priority])
        tile.order = next(self._numbers)
        lane.append(tile)

    def put_back(self, tiles: Iterable[Tile]) -> None:
        """Return tiles of a batch, given in the batch's order, to the fronts of their open lanes."""
        for tile in reversed(list(tiles)):
            tile.lane.put_back(tile)

    def charge(
        self, tiles: Collection[Tile], milliseconds: float, interrupted: Collection[Priority] = frozenset()
    ) -> None:
        """Share the time that a batch took, or a part of it, among the lanes of its tiles.

        interrupted: whose batches wait meanwhile for this one to end.
        """
        waiting = {*self._waiting(), *interrupted}
        for tile in tiles:
            tile.lane.served += milliseconds / len(tiles)
            self._shares.charge(tile.lane.priority, milliseconds / len(tiles), waiting)

    def overtakes(self, running: Priority) -> bool:
        """Whether a batch may go ahead of one of priority `running` that has begun."""
        more_urgent = [priority for priority in self._waiting() if priority < running]
        return bool(more_urgent) and self._shares.choose([*more_urgent, running]) is not running

    def next_batch(
        self,
        capacity: Callable[[TileKind], int],
        tile_ms: Callable[[TileKind], float | None],
        running: Priority | None = None,
    ) -> list[Tile]:
        """Remove and return the next batch, the leader's tile first; empty when nothing waits.

        capacity: the most tiles of a kind to put into one batch now, >= 1. tile_ms: predicted milliseconds per tile,
        None if unknown. running: the priority of a batch that has begun; the next one must go ahead of it, or is empty.
        """
        if running is not None and not self.overtakes(running):
            return []
        waiting = [priority for priority in self._waiting() if running is None or priority < running]
        if not waiting:
            return []

        def predict(kind: TileKind, tiles: int) -> float:
            each = tile_ms(kind)
            return math.inf if each is None else each * tiles

        priority = self._shares.choose(waiting)
        ready = [lane for lane in self._lanes[priority] if lane]
        self._level[priority] = min(lane.served for lane in ready)
        first = self._go_on(priority, ready, lambda kind: predict(kind, capacity(kind)))
        first = first or self._begin(priority, ready)
        batch = self._fill(first, capacity)
        current = self._slices[priority]
        current.graphs.add(first.kind.graph)
        current.spent += predict(first.kind, len(batch))
        return batch

    def _waiting(self) -> list[Priority]:
        """The priorities of which tiles wait."""
        return [priority for priority, lanes in self._lanes.items() if any(lanes)]

    def _go_on(self, priority: Priority, ready: list[Lane], predict: Callable[[TileKind], float]) -> Tile | None:
        """The tile that goes on with the current slice; None if the slice is over."""
        current = self._slices.get(priority)
        if current is None:
            return None
        offers = {lane: tile for lane in ready if (tile := current.offer(lane)) is not None}
        if not offers:
            return None
        tile = offers[min(offers, key=_turn)]
        return tile if current.spent + predict(tile.kind) <= self._slice_ms else None

    def _begin(self, priority: Priority, ready: list[Lane]) -> Tile:
        """The tile that begins a new slice."""
        last = self._slices.get(priority)
        newcomers = [] if last is not None and last.for_newcomer else [lane for lane in ready if lane.fresh]
        leader = min(newcomers or ready, key=_turn)
        self._slices[priority] = current = _Slice(leader, leader.fresh)
        tile = current.offer(leader)
        if tile is None:
            raise ValueError("A lane without waiting tiles cannot lead.")
        return tile

    def _fill(self, first: Tile, capacity: Callable[[TileKind], int]) -> list[Tile]:
        """Take `first` and what may share its batch, from its priority and lower ones."""
        group, leader = first.group, first.lane
        room = capacity(first.kind)
        batch: list[Tile] = []
        for priority in Priority:
            if priority < leader.priority:
                continue
            riders = [lane for lane in self._lanes[priority] if lane.holds(group)]
            riders.sort(key=lambda lane: (lane is not leader, *_turn(lane)))
            while riders and len(batch) < room:
                batch.extend(lane.take(group) for lane in riders[: room - len(batch)])
                riders = [lane for lane in riders if lane.holds(group)]
        for tile in batch:
            tile.lane.last_turn = next(self._numbers)
            tile.lane.fresh = False
        return batch


def _turn(lane: Lane) -> tuple[float, int]:
    return lane.served, lane.last_turn
