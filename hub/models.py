"""The models as their operator sees them: what is installed and loaded, loading, unloading and installing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from hub.catalog import Catalog, ModelEntry, unavailable
from hub.engine import ModelStatus
from hub.errors import Busy, Conflict, HubError, InvalidInput
from hub.installation import INSTALL_TASK, InstallSpec
from hub.jobs.manager import Idempotency, JobManager
from hub.jobs.model import Job, Kind
from hub.networks import Networks
from hub.settings import Settings

log = logging.getLogger(__name__)

IN_USE_SECONDS = 30  # After so long a job that uses a model may have ended.


class Models:
    """Thread-safe. `load` and `load_all` may take seconds per model; all else answers at once, also while they work."""

    def __init__(self, settings: Settings, catalog: Catalog, networks: Networks, manager: JobManager) -> None:
        self._settings = settings
        self._catalog = catalog
        self._networks = networks
        self._manager = manager
        self._loading = threading.Lock()

    def strategy(self) -> dict[str, bool]:
        """The body of /api/model_loading_strategy: {"load_all_on_startup"}."""
        return {"load_all_on_startup": self._settings.load_all_on_startup}

    def status(self) -> dict[str, Any]:
        """The body of /api/loaded_models_status, from memory: nothing is imported or started for it.

        {"models": [{"name", "task", "installed", "loaded", "loading", "in_use", "bytes", "backend"}],
        "device": {"name", "kind", "precision", "memory_total", "memory_free", "model_memory_used",
        "model_memory_budget"}}

        in_use: how many jobs and live sockets use the model now. bytes: what it takes in memory, 0 unless loaded;
        backend: what runs it, such as `openvino-cpu-bfloat16`, None unless loaded. Of the device, what shows only
        once a model has been loaded is None before.
        """
        held = self._held()
        budget = self._settings.model_memory_mb * 1_000_000
        return {
            "models": [_model_status(entry, held.get(entry.name)) for entry in self._catalog.models()],
            "device": {
                **asdict(self._networks.device()),
                "model_memory_used": sum(model.bytes for model in held.values() if model.loaded),
                "model_memory_budget": budget,
            },
        }

    def load(self, names: Sequence[str]) -> list[str]:
        """Load the named models, or all that are installed, and return their names; those loaded already count.

        Idle models make room. Models loaded before an error stay.
        Raises InvalidInput (`unknown_model`), Conflict (`weights_not_installed`, `weights_unusable`, and
        `model_memory_too_small` when they never fit together), Busy (`model_memory_full` when models in use leave no
        room, `models_loading` while another call loads, `out_of_memory`).
        """
        entries = self._named(names) if names else [entry for entry in self._catalog.models() if entry.installed]
        for entry in entries:
            if not entry.installed:
                raise unavailable(entry)
        # One call at a time: two would take each other's models for models in use. And not in line: waiting calls
        # could hold every worker thread.
        if not self._loading.acquire(blocking=False):
            raise Busy("models_loading", "Other models are being loaded; try again in a moment.", retry_after=3)
        try:
            return self._networks.load([entry.name for entry in entries]) if entries else []
        except Busy as error:
            if error.code != "model_memory_full":
                raise
            raise self._no_room([entry.name for entry in entries]) from error
        finally:
            self._loading.release()

    def unload(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Close the named models, or all; returns (unloaded, skipped since in use or being loaded).

        Models that are not loaded are in neither. Raises InvalidInput (`unknown_model`).
        """
        held = self._held()
        # A model whose file is gone may still be loaded.
        self._named([name for name in names if name not in held])
        return self._networks.unload(list(names) or list(held))

    def install(self, names: Sequence[str], *, owner: str = "", idempotency_key: str | None = None) -> Job:
        """Queue a job that downloads the weights of the named models, or of all that have official ones.

        Raises InvalidInput (`unknown_model`, `idempotency_key_reused`), Conflict for a model that is neither
        installed nor to be had (`weights_not_installed`, `weights_unusable`), Busy (`queue_full`).
        """
        entries = self._named(names) if names else [entry for entry in self._catalog.models() if entry.source]
        for entry in entries:
            if not entry.installed and entry.source is None:
                raise unavailable(entry)
        spec = InstallSpec([entry.name for entry in entries]).to_spec()
        idempotency = None if idempotency_key is None else Idempotency(idempotency_key, {"install": sorted(names)})
        return self._manager.submit(
            Kind.INSTALL, INSTALL_TASK, spec, ", ".join(spec["model_names"]), None, owner=owner, idempotency=idempotency
        )

    def load_all(self) -> None:
        """Load all installed models, each task's default first, as far as they fit; what goes wrong is logged."""
        loaded: list[str] = []
        for entry in self._in_order():
            if self._networks.stopping:
                return
            try:
                # Those before are asked for again, so that none is evicted for the next.
                loaded = self._networks.load([*loaded, entry.name])
            except HubError as error:
                if not self._networks.stopping:
                    log.warning("Not loaded at the start: %s: %s", entry.name, error.message)
            except Exception:
                log.exception("Not loaded at the start: %s.", entry.name)
        log.info("Loaded at the start: %s.", ", ".join(loaded) or "no model")

    def _in_order(self) -> list[ModelEntry]:
        """The installed models, each task's default first."""
        installed = [entry for entry in self._catalog.models() if entry.installed]
        defaults = {self._catalog.default_model(task).name for task in {entry.task for entry in installed}}
        return sorted(installed, key=lambda entry: entry.name not in defaults)

    def _held(self) -> dict[str, ModelStatus]:
        """The models loaded or being loaded."""
        status = self._networks.status()
        return {} if status is None else {model.name: model for model in status.models}

    def _named(self, names: Collection[str]) -> list[ModelEntry]:
        """The models of these names, each once; raises InvalidInput."""
        known = {entry.name: entry for entry in self._catalog.models()}
        unknown = [name for name in dict.fromkeys(names) if name not in known]
        if unknown:
            told = ", ".join(map(repr, unknown[:5])) + (" and others" if len(unknown) > 5 else "")
            raise InvalidInput(
                "unknown_model",
                f"There is no model {told}; valid are: {', '.join(known) or 'none'}.",
                {"valid": list(known)},
            )
        return [known[name] for name in dict.fromkeys(names)]

    def _no_room(self, names: Collection[str]) -> Busy | Conflict:
        """Why these models could not be loaded together."""
        held = self._held()
        in_use = [name for name, model in held.items() if model.in_use and name not in names]
        allowed = f"{self._settings.model_memory_mb} MB (HUB_MODEL_MEMORY_MB)"
        if in_use:
            return Busy(
                "model_memory_full",
                f"Jobs use {', '.join(in_use)}, which leaves no room for {', '.join(names)} in the {allowed} that "
                "models may take; try again when those jobs have ended.",
                {"in_use": in_use},
                retry_after=IN_USE_SECONDS,
            )
        return Conflict(
            "model_memory_too_small",
            f"{', '.join(names)} do not fit together into the {allowed} that models may take; load fewer, or allow "
            f"more. Loaded now: {', '.join(name for name, model in held.items() if model.loaded) or 'none'}.",
        )


def _model_status(entry: ModelEntry, held: ModelStatus | None) -> dict[str, Any]:
    loaded = held is not None and held.loaded
    return {
        "name": entry.name,
        "task": entry.task,
        "installed": entry.installed,
        "loaded": loaded,
        "loading": held is not None and not loaded,
        "in_use": held.in_use if held is not None else 0,
        "bytes": held.bytes if held is not None and loaded else 0,
        "backend": held.backend if held is not None else None,
    }
