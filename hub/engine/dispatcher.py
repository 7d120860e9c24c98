"""The one thread that owns the accelerator and runs batches of tiles."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

from hub.courtesy import step_back
from hub.engine.batches import Counters, Running, attempt, closed, context_of, fail, reason_to_drop, settle
from hub.engine.errors import EngineStopped
from hub.engine.models import ModelPool
from hub.engine.queue import Lane, Tile, TileKind, TileQueue
from hub.engine.shares import Priority
from hub.engine.sizing import BatchSizer
from uformer.backends import Backend, OutOfMemory

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""After an error of the engine itself, which may come again at once."""


class Dispatcher:
    """Runs the tiles of all lanes, batch by batch, in one thread; its other methods may be called from any.

    A batch that takes long gives way to more urgent tiles wherever its backend lets it: their batch runs inside it, in
    the same thread, and may be interrupted in turn.

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
        # Of the engine's thread alone: the batches that have begun, each interrupted by the next, and whether they are
        # to end before another begins, since it did not fit beside them or the engine failed inside one of them.
        self._running: list[Running] = []
        self._undisturbed = False

    @property
    def running(self) -> bool:
        """Whether tiles are accepted, and run."""
        thread = self._thread
        return self._accepting and thread is not None and thread.is_alive()

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
        fail(tiles, closed)

    def admit(self, kind: TileKind, max_batch: int) -> None:
        """Note the backend's limit for tiles of `kind`; needed before the first of them is submitted."""
        with self._work:
            self._sizer.admit(kind, max_batch)

    def capacity(self, kind: TileKind) -> int:
        """The most tiles of `kind` that a batch would hold now."""
        with self._work:
            return self._capacity(kind)

    def pixel_ms(self, model: str, *, provisional: bool = False) -> float | None:
        """See BatchSizer.pixel_ms."""
        with self._work:
            return self._sizer.pixel_ms(model, provisional=provisional)

    def submit(self, tiles: Sequence[Tile]) -> None:
        """Queue tiles of open lanes; raises EngineStopped, or Cancelled if the lane was closed."""
        with self._work:
            if not self._accepting:
                raise EngineStopped
            for tile in tiles:
                if not tile.lane.open:
                    raise closed()
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
            step_back()
            while self._accepting:
                try:
                    self._step()
                except Exception:
                    log.exception("An error of the engine; it goes on.")
                    with self._work:
                        self._work.wait_for(lambda: not self._accepting, PAUSE_SECONDS)
        finally:
            with self._work:
                self._accepting = False
                tiles = [tile for lane in self._queue.lanes() for tile in lane.drop()]
            fail(tiles, EngineStopped)

    def _step(self) -> None:
        """Wait for tiles and run one batch; none once told to stop."""
        with self._work:
            self._work.wait_for(lambda: self._queue or not self._accepting)
            if not self._accepting:
                return
        self._undisturbed = False
        self._run_next()

    def _run_next(self) -> bool:
        """Run the batch whose turn it is; False if that is none, or the one that has begun."""
        running = self._running[-1].priority if self._running else None
        with self._work:
            lanes = [lane for lane in self._queue.lanes() if lane]
        self._drop_cancelled(lanes)
        batch: list[Tile] = []
        try:
            with self._work:
                batch = self._queue.next_batch(self._capacity, self._sizer.tile_ms, running)
                if not batch:
                    return False
                room = 1 if batch[0].alone else self._capacity(batch[0].kind)
                # The waiting tile's session held the model until now; the batch holds it on, should the session close.
                model = self._pool.pin(batch[0].kind.model)
            try:
                context_of(batch).run(self._run, model.backend, batch, room)
            finally:
                self._pool.unpin(model)
        except BaseException as error:
            failure = error if isinstance(error, Exception) else EngineStopped()
            fail(batch, lambda: failure)
            raise
        return True

    def _contested(self, running: Running) -> bool:
        """Whether somebody more urgent is there who may send tiles while the batch runs."""
        with self._work:
            return any(self._queue.lanes(priority) for priority in Priority if priority < running.priority)

    def _give_way(self) -> None:
        """Run the more urgent batches whose turn it is now; called by backends in the middle of a batch.

        Nothing is raised here, for the batch in the middle of which it would be raised is not to blame.
        """
        interrupted = self._running[-1]
        try:
            self._charge(interrupted)
            while self._overtaken(interrupted) and self._run_next():
                pass
        except BaseException:
            log.exception("An error of the engine while a batch was interrupted; it goes on.")
            self._undisturbed = True
        interrupted.since = self._clock()

    def _overtaken(self, running: Running) -> bool:
        if self._undisturbed:
            return False
        with self._work:
            return self._accepting and self._queue.overtakes(running.priority)

    def _charge(self, running: Running) -> None:
        """Account for the time that the innermost batch took since it began or went on."""
        now = self._clock()
        seconds, running.since = now - running.since, now
        running.seconds += seconds
        with self._work:
            self._queue.charge(running.tiles, seconds * 1000, [outer.priority for outer in self._running[:-1]])

    def _drop_cancelled(self, lanes: Collection[Lane]) -> None:
        # Without the lock: `cancelled` is the job's code and may take locks of its own.
        for lane in lanes:
            reason = reason_to_drop(lane)
            if reason is not None:
                with self._work:
                    tiles = lane.drop()
                for tile in tiles:
                    settle(tile, reason)

    def _run(self, backend: Backend, batch: list[Tile], room: int) -> None:
        """Run one batch and settle its tiles, or queue them again in smaller batches."""
        kind, count = batch[0].kind, len(batch)
        running = Running(batch, self._clock())
        self._running.append(running)
        try:
            outcome = attempt(backend, [tile.pixels for tile in batch], self._give_way, likely=self._contested(running))
            self._charge(running)
        finally:
            self._running.pop()
        seconds = running.seconds
        # What does not fit beside an interrupted batch may fit once that has ended.
        crowded = isinstance(outcome, OutOfMemory) and count == 1 and bool(self._running)
        self._undisturbed |= crowded
        with self._work:
            self._counters = self._counters.after(outcome, count, room, seconds)
            if isinstance(outcome, OutOfMemory):
                self._sizer.ran_out_of_memory(kind, count)
            elif not isinstance(outcome, Exception):
                self._sizer.ran(kind, count, seconds * 1000)
        if not isinstance(outcome, Exception):
            for tile, pixels in zip(batch, outcome, strict=True):
                settle(tile, pixels)
        elif count == 1 and not crowded:
            settle(batch[0], outcome)
        else:
            self._retry(batch, outcome)

    def _retry(self, batch: list[Tile], error: Exception) -> None:
        """Queue a failed batch's tiles again: in smaller batches if memory ran out, else each by itself."""
        if not isinstance(error, OutOfMemory):
            for lane in {tile.lane for tile in batch}:
                words = "A batch of %d tiles failed and is retried tile by tile: %s"
                lane.context.copy().run(log.warning, words, len(batch), error)
            for tile in batch:
                tile.alone = True
        with self._work:
            self._queue.put_back(tile for tile in batch if tile.lane.open and not tile.future.cancelled())
            orphans = [tile for tile in batch if not tile.lane.open]
        fail(orphans, closed)
