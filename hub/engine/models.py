"""The loaded models: loaded on demand, counted while in use, evicted least recently used first."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub.engine.errors import EngineStopped
from hub.errors import Busy, Cancelled
from uformer.backends import Backend

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1


@dataclass(eq=False)
class LoadedModel:
    """A model in memory; `sessions` and `batches` count who uses it now."""

    name: str
    backend: Backend
    last_used: int
    sessions: int = 0
    batches: int = 0

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return not self.sessions and not self.batches


@dataclass(frozen=True)
class ModelStatus:
    """One model as the engine sees it; `loaded` is False while it is still being loaded."""

    name: str
    loaded: bool
    in_use: int
    bytes: int
    backend: str | None


@dataclass(eq=False)
class _Flight:
    """One load in progress, joined by whoever else wants the model."""

    error: Exception | None = None


class ModelPool:
    """The models in memory, within a budget of bytes (None: no limit); thread-safe.

    A model is loaded in the thread that asks for it, once however many ask. The pool's lock is never held while a
    model is loaded or closed, nor while a caller's `cancelled` runs.

    A model's size is known only once it has been loaded. If it then turns out not to fit beside the models in use, it
    is closed, and loaded again when there is room.
    """

    def __init__(self, load: Callable[[str], Backend], budget: int | None) -> None:
        self._load = load
        self.budget = budget
        self.loads = 0
        self.evictions = 0
        self._changed = threading.Condition()
        self._loaded: dict[str, LoadedModel] = {}
        self._flights: dict[str, _Flight] = {}
        self._sizes: dict[str, int] = {}
        self._uses = itertools.count()
        self._open = True

    def acquire(self, name: str, cancelled: Callable[[], bool] | None = None, *, wait: bool = True) -> LoadedModel:
        """Load `name` if need be and count a session on it; undo with `release`.

        Waits for another thread's load of it, and for room while models in use fill the budget. With wait=False, no
        room raises Busy. Raises Cancelled, EngineStopped, or what `load` raised, in every thread that awaited it.
        """
        joined: _Flight | None = None
        while True:
            if cancelled is not None and cancelled():
                raise Cancelled
            with self._changed:
                if not self._open:
                    raise EngineStopped
                if joined is not None and joined.error is not None:
                    raise joined.error
                model = self._loaded.get(name)
                if model is not None:
                    model.sessions += 1
                    model.last_used = next(self._uses)
                    return model
                joined = self._flights.get(name)
                victims = None if joined is not None else self._make_room(name)
                if victims is None:
                    if joined is None and not wait:
                        raise Busy("model_memory_full", f"No memory to load {name}: the models in use fill it.")
                    self._changed.wait(None if cancelled is None else POLL_SECONDS)
                    continue
                flight = self._flights[name] = _Flight()
            self._fly(name, flight, victims)

    def release(self, model: LoadedModel) -> None:
        """End a session's use; the model stays loaded until its memory is needed."""
        with self._changed:
            model.sessions -= 1
            model.last_used = next(self._uses)
            self._changed.notify_all()

    def pin(self, name: str) -> LoadedModel:
        """Count a running batch on a model that a session holds; undo with `unpin`."""
        with self._changed:
            model = self._loaded[name]
            model.batches += 1
            return model

    def unpin(self, model: LoadedModel) -> None:
        """End a batch's use."""
        with self._changed:
            model.batches -= 1
            self._changed.notify_all()

    def unload(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Close the named models that are loaded; returns (unloaded, skipped because in use or being loaded)."""
        unloaded: list[LoadedModel] = []
        skipped: list[str] = []
        with self._changed:
            for name in dict.fromkeys(names):
                model = self._loaded.get(name)
                if name in self._flights or (model is not None and not model.idle):
                    skipped.append(name)
                elif model is not None:
                    unloaded.append(self._loaded.pop(name))
            self._changed.notify_all()
        _close_all(unloaded)
        return [model.name for model in unloaded], skipped

    def status(self) -> tuple[ModelStatus, ...]:
        """The models loaded or being loaded, by name."""
        with self._changed:
            loaded = [
                ModelStatus(model.name, True, model.sessions, model.backend.memory_bytes, model.backend.name)
                for model in self._loaded.values()
            ]
            loading = [ModelStatus(name, False, 0, self._sizes.get(name, 0), None) for name in self._flights]
        return tuple(sorted(loaded + loading, key=lambda status: status.name))

    def reopen(self) -> None:
        """Allow loading again after `close`."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Close every model, in use or not, and refuse to load more; nothing may be running."""
        with self._changed:
            self._open = False
            models = list(self._loaded.values())
            self._loaded.clear()
            self._changed.notify_all()
        _close_all(models)

    def _fly(self, name: str, flight: _Flight, victims: list[LoadedModel]) -> None:
        """Load `name` with the lock released; on return it is loaded, or there was no room for it after all."""
        surplus: list[LoadedModel] = []
        try:
            _close_all(victims)
            backend = self._load(name)
            with self._changed:
                self.loads += 1
                surplus = self._admit(LoadedModel(name, backend, next(self._uses)))
        except Exception as error:
            flight.error = error
            raise
        finally:
            _close_all(surplus)
            with self._changed:
                del self._flights[name]
                self._changed.notify_all()

    def _admit(self, model: LoadedModel) -> list[LoadedModel]:
        """Add a model just loaded, if it fits; returns what to close: idle models, or itself."""
        self._sizes[model.name] = model.backend.memory_bytes
        victims = self._make_room(model.name) if self._open else None
        if victims is None:
            return [model]
        self._loaded[model.name] = model
        if self.budget is not None and self._used() > self.budget:
            log.warning(
                "Model %s takes %d bytes, more than the %d bytes allowed for models; it is kept as the only one.",
                *(model.name, model.backend.memory_bytes, self.budget),
            )
        return victims

    def _used(self) -> int:
        return sum(model.backend.memory_bytes for model in self._loaded.values())

    def _make_room(self, name: str) -> list[LoadedModel] | None:
        """Take out the idle models that must go for `name` to fit; None if it must wait for others to finish."""
        if self.budget is None:
            return []
        loading = [other for other in self._flights if other != name]
        needed = self._used() + sum(self._sizes.get(other, 0) for other in [*loading, name])
        victims: list[LoadedModel] = []
        for model in sorted(self._loaded.values(), key=lambda model: model.last_used):
            if needed > self.budget and model.idle:
                victims.append(model)
                needed -= model.backend.memory_bytes
        alone = len(victims) == len(self._loaded) and not loading
        if needed > self.budget and not alone:
            return None
        for victim in victims:
            del self._loaded[victim.name]
        self.evictions += len(victims)
        return victims


def _close_all(models: Iterable[LoadedModel]) -> None:
    for model in models:
        try:
            model.backend.close()
        except Exception:
            log.exception("Closing model %s failed.", model.name)
