"""The engine as the rest of the hub sees it: sessions, models, status."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hub.engine.dispatcher import Dispatcher
from hub.engine.loaded import ModelStatus
from hub.engine.models import ModelPool
from hub.engine.queue import Lane
from hub.engine.session import EngineSession
from hub.engine.shares import Priority
from uformer.backends import Backend


@dataclass(frozen=True)
class EngineStatus:
    """What the engine holds, what waits, and what it has done since it was made.

    models: loaded or being loaded, by name. memory_*: bytes; no budget is None.
    queued: tiles waiting per priority. tiles: restored. batches: succeeded; mean_batch_fill: their mean share of the
    tiles that would have fitted, 0..1. busy_seconds: spent computing. evictions: models unloaded to make room.
    """

    running: bool
    models: tuple[ModelStatus, ...]
    memory_used: int
    memory_budget: int | None
    loads: int
    evictions: int
    queued: Mapping[Priority, int]
    batches: int
    tiles: int
    mean_batch_fill: float
    busy_seconds: float
    failed_batches: int
    out_of_memory: int


class Engine:
    """The one owner of the accelerator: it loads models and batches the tiles of all sessions.

    load: opens a model's backend by name; called in the thread of the session that needs it, never twice at once for
    one name, and again after a failure. It must not use the engine.
    memory_budget: bytes for loaded models (None: no limit). batch_ms: predicted milliseconds that a batch may take;
    live_batch_ms: the same while a live session is open. slice_ms: predicted milliseconds for which batches keep to the
    same models and tile shapes, since a backend may be slow to change them; 0 shares most finely. clock: seconds,
    monotonic.
    """

    def __init__(
        self,
        load: Callable[[str], Backend],
        *,
        memory_budget: int | None = None,
        batch_ms: float = 250.0,
        live_batch_ms: float = 50.0,
        slice_ms: float = 2000.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pool = ModelPool(load, memory_budget)
        self._dispatcher = Dispatcher(
            self._pool, batch_ms=batch_ms, live_batch_ms=live_batch_ms, slice_ms=slice_ms, clock=clock
        )

    def start(self) -> None:
        """Start running batches; also after `stop`."""
        self._pool.reopen()
        self._dispatcher.start()

    def stop(self) -> None:
        """Let the running batch end, fail waiting tiles with EngineStopped, and close all models."""
        self._dispatcher.stop()
        self._pool.close()

    @contextmanager
    def session(
        self, model: str, priority: Priority, *, cancelled: Callable[[], bool] | None = None
    ) -> Iterator[EngineSession]:
        """Hold `model` in memory, loading it if need be, and run tiles through it while the context lasts.

        cancelled: once it returns True the session's waiting tiles are dropped, and `map` raises Cancelled. It is
        called often and from several threads, so it must be quick.
        Raises Cancelled (also while it waits for memory), EngineStopped, or what loading raised.
        A thread should hold one session at a time: two could wait for each other's memory. Nor should the holder of a
        session wait for another thread that opens one: that thread queues for memory like everybody, unless it is LIVE.
        """
        loaded = self._pool.acquire(model, cancelled, urgent=priority is Priority.LIVE)
        try:
            lane = Lane(priority, cancelled)
            self._dispatcher.open_lane(lane)
            session = EngineSession(self._dispatcher, model, loaded.backend, lane)
            try:
                yield session
            finally:
                session.close()
        finally:
            self._pool.release(loaded)

    def load_models(self, names: Iterable[str]) -> list[str]:
        """Load the named models and return their names.

        Raises Busy when they do not fit together beside the models in use, or what loading raised; models loaded until
        then stay.
        """
        with ExitStack() as held:
            loaded = []
            for name in dict.fromkeys(names):
                model = self._pool.acquire(name, wait=False)
                held.callback(self._pool.release, model)
                loaded.append(name)
            return loaded

    def unload_models(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Close the named models; returns (unloaded, skipped because in use). Models not loaded are in neither."""
        return self._pool.unload(names)

    def pixel_seconds(self, model: str, *, provisional: bool = False) -> float | None:
        """Seconds that a pixel of the model's tiles takes on this machine; None before that was measured.

        provisional: a first batch, which may have waited for its graph, counts as a measurement too.
        """
        milliseconds = self._dispatcher.pixel_ms(model, provisional=provisional)
        return None if milliseconds is None else milliseconds / 1000

    def status(self) -> EngineStatus:
        """A snapshot for people, health checks and metrics."""
        counters = self._dispatcher.counters()
        models = self._pool.status()
        return EngineStatus(
            running=self._dispatcher.running,
            models=models,
            memory_used=sum(model.bytes for model in models if model.loaded),
            memory_budget=self._pool.budget,
            loads=self._pool.loads,
            evictions=self._pool.evictions,
            queued=self._dispatcher.waiting(),
            batches=counters.batches,
            tiles=counters.tiles,
            mean_batch_fill=counters.fill / counters.batches if counters.batches else 0.0,
            busy_seconds=counters.busy_seconds,
            failed_batches=counters.failed_batches,
            out_of_memory=counters.out_of_memory,
        )
