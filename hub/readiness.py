"""Whether the hub can work: looked at once before it starts, and whenever somebody asks."""

from __future__ import annotations

import errno
import importlib.util
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hub.asking import Asker, Call, NoAnswer
from hub.catalog import Catalog, ModelEntry
from hub.errors import HubError, InvalidInput
from hub.settings import Settings
from uformer.devices import find_device

log = logging.getLogger(__name__)

PROBE_BYTES = 1 << 20
ANSWER_SECONDS = 2.0
"""How long the checks may take before they count as failed: who asks wants to know now."""


def check_start(settings: Settings) -> None:
    """Look at everything that would keep the hub from working, before it listens.

    Raises InvalidInput (`bad_setting`) for settings that cannot work, HubError (`disk_full`) and OSError for folders
    that cannot be written; the words say what would be right. What leaves it able to work is logged as a warning.
    """
    _check_folders(settings)
    _check_graphs(settings)
    _check_device(settings)
    for name, folder in _folders(settings).items():
        _check_writable(folder)
        free = shutil.disk_usage(folder).free
        if free < settings.min_free_mb * 1_000_000:
            log.warning(
                "The disk of %s (%s) has %.0f MB free, HUB_MIN_FREE_MB asks for %d: until then uploads are refused.",
                *(folder, name, free / 1e6, settings.min_free_mb),
            )


def check_models(settings: Settings, catalog: Catalog) -> None:
    """Refuse to start where no model can ever be used, and warn of files that are there in vain.

    Raises HubError (`bad_manifest`, `no_usable_model`).
    """
    models = catalog.models()
    for entry in models:
        if entry.problem is not None:
            log.warning("The model %s cannot be used: %s", entry.name, entry.problem)
    if any(entry.installed for entry in models):
        return
    if settings.auto_fetch and any(entry.source for entry in models):
        log.warning("No model is installed: the first job waits until its weights are downloaded.")
        return
    raise HubError(
        "no_usable_model",
        f"{_no_model(models)} Put weights into {settings.weights_dir}, or set HUB_AUTO_FETCH=1 to download them.",
    )


class Readiness:
    """Whether a job that is sent now would be accepted and run; quick, whatever has got stuck.

    queue: why no job is taken just now, in words; None if it is. engine: why nothing is restored, likewise.
    database: raises HubError if it does not answer.
    can_fetch: whether a model's weights would be downloaded for a job.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        *,
        queue: Callable[[], str | None],
        engine: Callable[[], str | None],
        database: Callable[[], object],
        can_fetch: Callable[[ModelEntry], bool],
    ) -> None:
        self._settings = settings
        self._checks: Mapping[str, Asker[str | None]] = {
            "models": Asker(lambda: _models_problem(catalog, can_fetch)),
            "queue": Asker(queue),
            "engine": Asker(engine),
            "database": Asker(lambda: _answers(database)),
            "disk": Asker(lambda: _disk_problem(settings)),
        }

    def report(self) -> dict[str, Any]:
        """`ready`, and for each of the `checks` whether it is `ok` and what is wrong (`detail`, "" if nothing)."""
        deadline = time.monotonic() + ANSWER_SECONDS
        calls = {name: check.begin() for name, check in self._checks.items()}
        problems = {name: _problem(call, deadline - time.monotonic()) for name, call in calls.items()}
        return {
            "ready": not any(problems.values()),
            "checks": {name: {"ok": not problem, "detail": problem or ""} for name, problem in problems.items()},
        }


def _problem(check: Call[str | None], seconds: float) -> str | None:
    try:
        return check.answer(max(0.0, seconds))
    except NoAnswer:
        return f"No answer within {ANSWER_SECONDS:g} seconds."
    except HubError as error:
        return error.message
    except OSError as error:
        return f"{error.filename or 'A file'}: {error.strerror or error}"


def _answers(database: Callable[[], object]) -> None:
    database()


def _disk_problem(settings: Settings) -> str | None:
    wanted = settings.min_free_mb * 1_000_000
    for name, folder in _folders(settings).items():
        free = shutil.disk_usage(folder).free
        if free < wanted:
            return f"{free / 1e6:.0f} MB are free for the {name}; {settings.min_free_mb} MB must be."
    return None


def _models_problem(catalog: Catalog, can_fetch: Callable[[ModelEntry], bool]) -> str | None:
    """Why no model can be used; None if the default one of some task is there, or can be had, and none is broken."""
    defaults = [catalog.default_model(task) for task in catalog.tasks() if catalog.models(task)]
    usable = [entry for entry in defaults if entry.installed]
    if not usable:
        return None if any(map(can_fetch, defaults)) else _no_model(catalog.models())
    for entry in usable:
        if entry.path is not None:
            with entry.path.open("rb") as file:  # Listed is not readable.
                file.read(1)
    return None


def _folders(settings: Settings) -> dict[str, Path]:
    return {"uploads": settings.data_dir, "results": settings.resolved_results_dir}


def _check_folders(settings: Settings) -> None:
    """Refuse folders that the hub would clear, or list as something else."""
    data, results = settings.data_dir.resolve(), settings.resolved_results_dir.resolve()
    own = [data / name for name in ("tmp", "uploads", "jobs", "cache", "weights")]
    for name, folder in (("HUB_RESULTS_DIR", results), ("HUB_WEIGHTS_DIR", settings.weights_dir.resolve())):
        if folder == data or any(folder == other or other in folder.parents for other in own[:4]):
            raise InvalidInput(
                "bad_setting",
                f"{name} must not be {folder}, where the hub keeps other things; take a folder such as "
                f"{data / ('static_results' if folder == results else 'models')}.",
            )


def _check_graphs(settings: Settings) -> None:
    """Refuse a folder that the hub would clear; warn of one in which it can keep nothing."""
    folder, data = settings.resolved_graphs_dir.resolve(), settings.data_dir.resolve()
    for other in (*(data / name for name in ("tmp", "uploads", "jobs")), settings.resolved_results_dir.resolve()):
        if folder == other or other in folder.parents:
            raise InvalidInput(
                "bad_setting",
                f"HUB_GRAPHS_DIR must not be {folder}, where the hub keeps other things; take a folder such as "
                f"{data / 'cache'}.",
            )
    try:
        _check_writable(folder)
    except (OSError, HubError) as error:
        log.warning("Compiled graphs cannot be kept (%s): each start compiles them again.", error)


def _check_device(settings: Settings) -> None:
    if settings.cpu_backend == "openvino" and importlib.util.find_spec("openvino") is None:
        raise InvalidInput(
            "bad_setting", "HUB_CPU_BACKEND: OpenVINO is not installed; `pip install openvino`, or set auto or torch."
        )
    if settings.device in ("auto", "cpu"):
        return
    # Only now, because it brings PyTorch in, which takes seconds.
    try:
        find_device(settings.device)
    except ValueError as error:
        raise InvalidInput("bad_setting", f"HUB_DEVICE: {error} Set one of them, or auto.") from error


def _check_writable(folder: Path) -> None:
    """Write, flush and delete a file of a megabyte. Raises OSError, or HubError (`disk_full`)."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{secrets.token_hex(8)}"
    try:
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HubError("disk_full", f"The disk of {folder} is full; delete something, or take another.") from error
        raise


def _no_model(models: list[ModelEntry]) -> str:
    broken = [entry.problem for entry in models if entry.problem is not None]
    return f"No model can be used{': ' + broken[0] if broken else '; none is installed.'}"
