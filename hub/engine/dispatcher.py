"""The one thread that owns the accelerator and runs batches of tiles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.engine.errors import EngineStopped
from hub.engine.models import ModelPool
from hub.engine.queue import Lane, Priority, Tile, TileKind, TileQueue
from hub.engine.sizing import BatchSizer
from hub.errors import Cancelled
from uformer.backends import Backend, OutOfMemory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counters:
    """What the batch loop has done since it was made.

    fill: sum over batches of tiles / capacity.
    busy_seconds: time spent in backends, failed batches included.
    """

    batches: int = 0
    tiles: int = 0
    fill: float = 0.0
    busy_seconds: float = 0.0
    failed_batches: int = 0
    out_of_memory: int = 0


class Dispatcher:
    """Runs the tiles of all lanes, batch by batch, in one thread; its other methods may be called from any.

    A tile belongs to the queue or to the running batch, under the lock; whoever takes it out settles its future.

    batch_ms: predicted milliseconds that a batch may take, or live_batch_ms while a live session is open, since a live
    frame must wait for whatever batch is running when it arrives. slice_ms: see TileQueue.
    """

    def __init__(
        self, pool: ModelPool, *, batch_ms: float, live_batch_ms: float, slice_ms: float, clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._batch_ms = batch_ms
        self._live_batch_ms = min(live_batch_ms, batch_ms)
        self._clock = clock
        self._lifecycle = threading.Lock()
        self._work = threading.Condition()
        self._queue = TileQueue(slice_ms)
        self._sizer = BatchSizer()
        self._counters = Counters()
        self._thread: threading.Thread | None = None
        self._accepting = False

    @property
    def running(self) -> bool:
        """Whether tiles are accepted."""
        return self._accepting

    def start(self) -> None:
        """Start the thread; does nothing while it runs."""
        with self._lifecycle:
            if self._thread is None or not self._thread.is_alive():
                self._accepting = True
                self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Let the running batch end, fail the waiting tiles with EngineStopped, and join the thread."""
        with self._lifecycle:
            with self._work:
                self._accepting = False
                self._work.notify_all()
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    def open_lane(self, lane: Lane) -> None:
        """Let a session's lane take part; raises EngineStopped."""
        with self._work:
            if not self._accepting:
                raise EngineStopped
            self._queue.open_lane(lane)

    def close_lane(self, lane: Lane) -> None:
        """Drop a lane and its waiting tiles."""
        with self._work:
            tiles = self._queue.close_lane(lane)
        _fail(tiles, _closed)

    def admit(self, kind: TileKind, max_batch: int) -> None:
        """Note the backend's limit for tiles of `kind`; needed before the first of them is submitted."""
        with self._work:
            self._sizer.admit(kind, max_batch)

    def capacity(self, kind: TileKind) -> int:
        """The most tiles of `kind` that a batch would hold now."""
        with self._work:
            return self._capacity(kind)

    def submit(self, tiles: Sequence[Tile]) -> None:
        """Queue tiles of open lanes; raises EngineStopped, or Cancelled if the lane was closed."""
        with self._work:
            if not self._accepting:
                raise EngineStopped
            for tile in tiles:
                if not tile.lane.open:
                    raise _closed()
                self._queue.add(tile)
            self._work.notify_all()

    def withdraw(self, lane: Lane, futures: Collection[Future[NDArray[Any]]]) -> None:
        """Drop the lane's tiles with these futures, which nobody awaits any more; running ones are not run again."""
        for future in futures:
            future.cancel()
        with self._work:
            lane.drop(futures)

    def waiting(self) -> dict[Priority, int]:
        """Number of waiting tiles per priority."""
        with self._work:
            return self._queue.waiting()

    def counters(self) -> Counters:
        """The counters as they stand."""
        with self._work:
            return self._counters

    def _capacity(self, kind: TileKind) -> int:
        budget = self._live_batch_ms if self._queue.lanes(Priority.LIVE) else self._batch_ms
        return self._sizer.capacity(kind, budget)

    def _loop(self) -> None:
        try:
            while self._step():
                pass
        finally:
            with self._work:
                self._accepting = False
                tiles = [tile for lane in self._queue.lanes() for tile in lane.drop()]
            _fail(tiles, EngineStopped)

    def _step(self) -> bool:
        """Wait for tiles and run one batch; False once told to stop."""
        with self._work:
            self._work.wait_for(lambda: self._queue or not self._accepting)
            if not self._accepting:
                return False
            lanes = [lane for lane in self._queue.lanes() if lane]
        self._drop_cancelled(lanes)
        with self._work:
            batch = self._queue.next_batch(self._capacity, self._sizer.tile_ms)
            if not batch:
                return True
            room = 1 if batch[0].alone else self._capacity(batch[0].kind)
            # The waiting tile's session held the model until now; the batch holds it on, should the session close.
            model = self._pool.pin(batch[0].kind.model)
        try:
            self._run(model.backend, batch, room)
        finally:
            self._pool.unpin(model)
        return True

    def _drop_cancelled(self, lanes: Collection[Lane]) -> None:
        # Without the lock: `cancelled` is the job's code and may take locks of its own.
        for lane in lanes:
            reason = _reason_to_drop(lane)
            if reason is not None:
                with self._work:
                    tiles = lane.drop()
                for tile in tiles:
                    _settle(tile, reason)

    def _run(self, backend: Backend, batch: list[Tile], room: int) -> None:
        """Run one batch and settle its tiles, or queue them again in smaller batches."""
        kind, count = batch[0].kind, len(batch)
        started = self._clock()
        try:
            outcome = _attempt(backend, [tile.pixels for tile in batch])
        except BaseException:
            _fail(batch, EngineStopped)
            raise
        seconds = self._clock() - started
        with self._work:
            self._queue.charge(batch, seconds * 1000)
            self._count(outcome, count, room, seconds)
            if isinstance(outcome, OutOfMemory):
                self._sizer.ran_out_of_memory(kind, count)
            elif not isinstance(outcome, Exception):
                self._sizer.ran(kind, count, seconds * 1000)
        if not isinstance(outcome, Exception):
            for tile, pixels in zip(batch, outcome, strict=True):
                _settle(tile, pixels)
        elif count == 1:
            _settle(batch[0], outcome)
        else:
            self._retry(batch, outcome)

    def _count(self, outcome: NDArray[Any] | Exception, tiles: int, room: int, seconds: float) -> None:
        now = self._counters
        now = replace(now, busy_seconds=now.busy_seconds + seconds)
        if not isinstance(outcome, Exception):
            now = replace(now, batches=now.batches + 1, tiles=now.tiles + tiles, fill=now.fill + min(1.0, tiles / room))
        else:
            out_of_memory = now.out_of_memory + isinstance(outcome, OutOfMemory)
            now = replace(now, failed_batches=now.failed_batches + 1, out_of_memory=out_of_memory)
        self._counters = now

    def _retry(self, batch: list[Tile], error: Exception) -> None:
        """Queue a failed batch's tiles again: in smaller batches if memory ran out, else each by itself."""
        if not isinstance(error, OutOfMemory):
            log.warning("A batch of %d tiles failed and is retried tile by tile: %s", len(batch), error)
            for tile in batch:
                tile.alone = True
        with self._work:
            self._queue.put_back(tile for tile in batch if tile.lane.open and not tile.future.cancelled())
            orphans = [tile for tile in batch if not tile.lane.open]
        _fail(orphans, _closed)


def _attempt(backend: Backend, pixels: Sequence[NDArray[Any]]) -> NDArray[np.float32] | Exception:
    """Run tiles of one shape and type as a batch; returns the results, or what went wrong.

    A function of its own so that a returned exception's traceback holds neither itself nor the tiles' futures.
    """
    try:
        batch = pixels[0][np.newaxis] if len(pixels) == 1 else np.stack(pixels)
        outputs = backend.run(batch)
    except (OutOfMemory, MemoryError) as error:
        # A fresh exception: the caught one's traceback would keep the tensors that did not fit alive.
        return OutOfMemory(str(error) or "Out of memory.")
    except Exception as error:  # noqa: BLE001 - goes to the session whose tile is at fault
        return error
    if outputs.shape != batch.shape:
        return RuntimeError(f"Backend {backend.name} returned shape {outputs.shape} for a batch of {batch.shape}.")
    return outputs


def _fail(tiles: Iterable[Tile], error: Callable[[], Exception]) -> None:
    for tile in tiles:
        _settle(tile, error())


def _settle(tile: Tile, outcome: NDArray[Any] | Exception) -> None:
    if not tile.future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        tile.future.set_exception(outcome)
    else:
        tile.future.set_result(outcome)


def _reason_to_drop(lane: Lane) -> Exception | None:
    try:
        return Cancelled() if lane.cancelled is not None and lane.cancelled() else None
    except Exception as error:  # noqa: BLE001 - goes to the session whose callback failed
        return error


def _closed() -> Cancelled:
    return Cancelled("The session was closed.")
