"""The loaded models: loaded on demand, counted while in use, evicted least recently used first."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub.engine.errors import EngineStopped
from hub.engine.loaded import LoadedModel, ModelStatus, close_all
from hub.errors import Busy, Cancelled
from uformer.backends import Backend

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1

# Who asked when, urgent askers before all others: the lower goes first.
Ticket = tuple[int, int]


@dataclass(eq=False)
class _Flight:
    """One load in progress, joined by whoever else wants the model."""

    error: Exception | None = None


class ModelPool:
    """The models in memory, within a budget of bytes (None: no limit); thread-safe.

    A model is loaded in the thread that asks for it, once however many ask. The pool's lock is never held while a
    model is loaded or closed, nor while a caller's `cancelled` runs.

    A model's size is known only once it has been loaded. If it then turns out not to fit beside the models in use, it
    is closed, and loaded again when there is room. Loaded models grow and shrink: what they hold now counts.

    Whoever must wait for room waits in line, in order of arrival. Models in use that must go for the first in line
    take no newcomers meanwhile, or steady traffic on them would keep the others out for ever.
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
        self._waiting: dict[Ticket, str] = {}
        self._leaving: list[str] = []
        self._sessions_of: Counter[int] = Counter()
        self._numbers = itertools.count()
        self._open = True

    def acquire(
        self, name: str, cancelled: Callable[[], bool] | None = None, *, urgent: bool = False, wait: bool = True
    ) -> LoadedModel:
        """Load `name` if need be and count a session on it; undo with `release` in the same thread.

        Waits for another thread's load of it, and for room while models in use fill the budget: in line, urgent ones
        first. A thread that holds a session already passes the line, which may be waiting for that very session.
        With wait=False, no room raises Busy. Raises Cancelled, EngineStopped, or what `load` raised, in every thread
        that awaited it.
        """
        with self._changed:
            ticket = (0 if urgent else 1, next(self._numbers))
        try:
            return self._acquire(name, ticket, cancelled, wait)
        finally:
            with self._changed:
                if self._waiting.pop(ticket, None) is not None:
                    self._changed.notify_all()

    def release(self, model: LoadedModel) -> None:
        """End a session's use; the model stays loaded until its memory is needed."""
        with self._changed:
            model.sessions -= 1
            model.last_used = next(self._numbers)
            self._sessions_of -= Counter([threading.get_ident()])
            surplus = self._shed()
            self._changed.notify_all()
        close_all(surplus)

    def pin(self, name: str) -> LoadedModel:
        """Count a running batch on a model that a session holds; undo with `unpin`."""
        with self._changed:
            model = self._loaded[name]
            model.batches += 1
            return model

    def unpin(self, model: LoadedModel) -> None:
        """End a batch's use. The model may have grown by it: idle ones go if there is no longer room for all."""
        with self._changed:
            model.batches -= 1
            surplus = self._shed()
            self._changed.notify_all()
        close_all(surplus)

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
                    unloaded.append(model)
            self._take_out(unloaded)
            self._changed.notify_all()
        close_all(unloaded)
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
            self._take_out(models)
            self._changed.notify_all()
        close_all(models)

    def _acquire(self, name: str, ticket: Ticket, cancelled: Callable[[], bool] | None, wait: bool) -> LoadedModel:
        joined: _Flight | None = None
        while True:
            if cancelled is not None and cancelled():
                raise Cancelled
            with self._changed:
                if not self._open:
                    raise EngineStopped
                if joined is not None and joined.error is not None:
                    raise joined.error
                queues = not self._sessions_of[threading.get_ident()]
                ahead = self._first_in_line(ticket) if queues else None
                model = self._loaded.get(name)
                if model is not None and not (wait and ahead is not None and name in self._must_leave(ahead)):
                    self._enter(model)
                    return model
                joined = self._flights.get(name)
                free = model is None and joined is None and ahead is None
                victims = self._make_room(name, self._sizes.get(name, 0)) if free else None
                if victims is None:
                    if joined is None and not wait:
                        raise Busy("model_memory_full", f"No memory to load {name}: the models in use fill it.")
                    if joined is None and queues:
                        self._waiting[ticket] = name
                    self._changed.wait(None if cancelled is None else POLL_SECONDS)
                    continue
                flight = self._flights[name] = _Flight()
                self._changed.notify_all()
            model = self._fly(name, flight, victims)
            if model is not None:
                return model

    def _enter(self, model: LoadedModel) -> None:
        model.sessions += 1
        model.last_used = next(self._numbers)
        self._sessions_of[threading.get_ident()] += 1

    def _first_in_line(self, ticket: Ticket) -> str | None:
        """The model for which somebody has waited longest for room, of those before `ticket`."""
        before = [
            other
            for other, name in self._waiting.items()
            if other < ticket and name not in self._loaded and name not in self._flights
        ]
        return self._waiting[min(before)] if before else None

    def _must_leave(self, name: str) -> list[str]:
        """The loaded models that must go for `name` to fit, in use or not.

        Those chosen before are chosen again while they suffice: were the choice to change with the traffic, newcomers
        could keep all of them busy in turn.
        """
        excess = self._excess_with(name, self._sizes.get(name, 0))
        before, self._leaving = self._leaving, []
        for model in sorted(self._loaded.values(), key=lambda m: (m.name not in before, not m.idle, m.last_used)):
            if excess > 0:
                self._leaving.append(model.name)
                excess -= model.backend.memory_bytes
        return self._leaving

    def _fly(self, name: str, flight: _Flight, victims: list[LoadedModel]) -> LoadedModel | None:
        """Load `name` with the lock released and count a session on it; None if there was no room for it after all."""
        surplus: list[LoadedModel] = []
        try:
            close_all(victims)
            model = LoadedModel(name, self._load(name), 0)
            with self._changed:
                self.loads += 1
                surplus = self._admit(model)
        except Exception as error:
            flight.error = error
            raise
        finally:
            close_all(surplus)
            with self._changed:
                del self._flights[name]
                self._changed.notify_all()
        return None if model in surplus else model

    def _admit(self, model: LoadedModel) -> list[LoadedModel]:
        """Add a model just loaded, if it fits; returns what to close: idle models, or itself."""
        size = self._sizes[model.name] = model.backend.memory_bytes
        victims = self._make_room(model.name, size) if self._open else None
        if victims is None:
            return [model]
        self._loaded[model.name] = model
        self._enter(model)
        if self._excess() > 0:
            log.warning(
                "Model %s takes %d bytes, more than the %d bytes allowed for models; it is kept as the only one.",
                *(model.name, size, self.budget),
            )
        return victims

    def _excess(self) -> int:
        """Bytes by which the loaded models exceed the budget; negative while there is room."""
        return 0 if self.budget is None else sum(m.backend.memory_bytes for m in self._loaded.values()) - self.budget

    def _excess_with(self, name: str, size: int) -> int:
        """The same once `name` and all that is being loaded are there."""
        if self.budget is None:
            return 0
        return self._excess() + size + sum(self._sizes.get(other, 0) for other in self._flights if other != name)

    def _make_room(self, name: str, size: int) -> list[LoadedModel] | None:
        """Take out the idle models that must go for `name` to fit; None if it must wait for others to finish."""
        excess = self._excess_with(name, size)
        victims = self._idle_worth(excess)
        alone = len(victims) == len(self._loaded) and not self._flights.keys() - {name}
        if sum(victim.backend.memory_bytes for victim in victims) < excess and not alone:
            return None
        self.evictions += len(victims)
        return self._take_out(victims)

    def _shed(self) -> list[LoadedModel]:
        """Take out the idle models for which there is no room since others grew; the last model stays, however big."""
        victims = self._idle_worth(self._excess())[: max(0, len(self._loaded) - 1)]
        self.evictions += len(victims)
        return self._take_out(victims)

    def _idle_worth(self, excess: int) -> list[LoadedModel]:
        """Idle models of `excess` bytes together, least recently used first; all of them if they are not enough."""
        chosen: list[LoadedModel] = []
        for model in sorted(self._loaded.values(), key=lambda model: model.last_used):
            if excess > 0 and model.idle:
                chosen.append(model)
                excess -= model.backend.memory_bytes
        return chosen

    def _take_out(self, models: list[LoadedModel]) -> list[LoadedModel]:
        """Forget loaded models, but for what they held: they will need as much again."""
        for model in models:
            self._sizes[model.name] = model.backend.memory_bytes
            del self._loaded[model.name]
        return models
