"""The engine, made when it is first needed, with its models kept to what the catalog's files are now."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from hub.catalog import Catalog, ModelEntry
from hub.device import Device, describe
from hub.engine import Engine, EngineSession, EngineStatus, EngineStopped, Priority
from hub.errors import Busy, Cancelled
from hub.parts import make_backend
from hub.settings import Settings
from uformer.backends import Backend

log = logging.getLogger(__name__)

# A file, its modification time in nanoseconds and its size: as long as they stay, so does its content.
Source = tuple[Path, int, int]


class Networks:
    """Opens sessions on the catalog's models; thread-safe."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._engine: Engine | None = None
        self._sources: dict[str, Source | None] = {}
        self._opened: str | None = None  # The name of the backend opened last.
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def engine(self) -> Engine:
        """The one owner of the accelerator; made and started when first asked for."""
        with self._lock:
            if self._engine is None:
                engine = Engine(
                    self._load,
                    memory_budget=self._settings.model_memory_mb * 1_000_000,
                    batch_ms=self._settings.batch_ms,
                )
                if not self._stopping.is_set():
                    engine.start()
                self._engine = engine
            return self._engine

    def session(
        self, name: str, priority: Priority, *, cancelled: Callable[[], bool] | None = None
    ) -> AbstractContextManager[EngineSession]:
        """As Engine.session, with the weights that the model's file holds now.

        Where the file was replaced and jobs still run with its old weights, a session joins them.
        """
        self._unload_replaced(name)
        return self.engine.session(name, priority, cancelled=cancelled)

    def status(self) -> EngineStatus | None:
        """What the engine holds and has done; None before it was made. Waits for no load."""
        engine = self._engine
        return None if engine is None else engine.status()

    def pixel_seconds(self, name: str, *, provisional: bool = False) -> float | None:
        """Seconds that a pixel takes with this model, as measured here; None before that. Waits for no load."""
        engine = self._engine
        return None if engine is None else engine.pixel_seconds(name, provisional=provisional)

    def problem(self) -> str | None:
        """Why nothing is restored, in words; None if it is, or was not asked for yet."""
        status = self.status()
        return None if status is None or status.running else "The engine has ended; restart the server."

    def device(self) -> Device:
        """What the networks run on, as far as is known; waits for no load."""
        return describe(self._settings.device, self._opened)

    def load(self, names: Sequence[str]) -> list[str]:
        """As Engine.load_models, with the weights that the models' files hold now."""
        for name in names:
            self._unload_replaced(name)
        return self.engine.load_models(names)

    def unload(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """As Engine.unload_models; where there is no engine yet, nothing is loaded."""
        engine = self._engine
        return ([], []) if engine is None else engine.unload_models(names)

    def warm(self) -> None:
        """Load what the first photo will need; a failure shows again, to somebody, when a job asks for it."""
        began = time.monotonic()
        try:
            entry = self._catalog.default_model("denoise")
            if not entry.installed:
                return
            with self.session(entry.name, Priority.IMAGE, cancelled=self._stopping.is_set) as session:
                # One tile has the first graph compiled, where graphs are.
                for _ in session.map([np.zeros((256, 256, 3), np.uint8)]):
                    pass
                log.info("Ready for the first photo: %s after %.1f s.", entry.name, time.monotonic() - began)
        except (EngineStopped, Cancelled):
            log.info("Stopped before the default model was loaded.")
        except Exception:
            log.exception("The default model could not be loaded ahead of the first photo.")

    @property
    def stopping(self) -> bool:
        """Whether nothing should be loaded ahead of its use any more."""
        return self._stopping.is_set()

    def cease_warming(self) -> None:
        """Give `warm` up, and start no engine any more."""
        self._stopping.set()

    def stop(self) -> None:
        """Let the running batch end, fail what waits and close all models."""
        self.cease_warming()
        with self._lock:
            if self._engine is not None:
                self._engine.stop()

    def _load(self, name: str) -> Backend:
        """Open a model for the engine, and remember the file as it was before it was read."""
        source = _source(self._catalog.get(name))
        backend = self._open(name)
        with self._lock:
            self._sources[name] = source
            self._opened = backend.name
        return backend

    def _open(self, name: str) -> Backend:
        try:
            return make_backend(self._settings, self._catalog.load(name))
        except MemoryError as error:
            raise Busy(
                "out_of_memory", f"Too little memory is free to load {name}; try again when less is running."
            ) from error

    def _unload_replaced(self, name: str) -> None:
        with self._lock:
            loaded = self._sources.get(name)
        if loaded is None or _source(self._catalog.get(name)) in (None, loaded):
            return
        unloaded, in_use = self.engine.unload_models([name])
        if unloaded:
            log.info("The file of %s was replaced: it is loaded anew.", name)
        if in_use:
            log.info("The file of %s was replaced: its old weights stay until the jobs that use them end.", name)


def _source(entry: ModelEntry) -> Source | None:
    """The model's file as it is now; None if it is gone."""
    if entry.path is None:
        return None
    try:
        status = entry.path.stat()
    except FileNotFoundError:
        return None
    return entry.path, status.st_mtime_ns, status.st_size
