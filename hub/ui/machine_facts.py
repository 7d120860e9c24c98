"""What the page says of the machine, its models and its disk, as HTML."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from typing import Any

from hub.catalog import ModelEntry
from hub.jobs.manager import JobView
from hub.lifecycle import Cleared, Usage
from hub.settings import Settings
from hub.ui import stage
from hub.ui.board import badge, button
from hub.ui.language import known, say
from hub.ui.measures import decimal, file_size
from hub.ui.models import model_name, task_name

_BACKENDS = {"openvino": "OpenVINO", "torch": "PyTorch", "cuda": "PyTorch"}


def device_facts(status: Mapping[str, Any], waiting: int, settings: Settings) -> str:
    """The device, its memory and how much waits for it. status: as Models.status."""
    device = status["device"]
    backends = {model["backend"] for model in status["models"] if model["backend"]}
    facts = [(say("machine_device"), device["name"] or say("machine_later"))]
    if device["memory_total"]:
        free, total = _size(device["memory_free"]), _size(device["memory_total"])
        facts.append((say("machine_memory"), say("machine_free_of", free=free, total=total)))
    used, budget = _size(device["model_memory_used"]), _size(device["model_memory_budget"])
    facts.append((say("machine_model_memory"), say("machine_used_of", used=used, total=budget)))
    if device["precision"]:
        facts.append((say("machine_precision"), _precision(device["precision"])))
    if runs := _backend(backends, device["kind"], settings):
        facts.append((say("machine_backend"), runs))
    facts.append((say("machine_queue"), say("machine_waiting", number=waiting) if waiting else say("machine_idle")))
    return _table(facts)


def model_line(
    entry: ModelEntry, held: Mapping[str, Any], install: JobView | None, owner: str | None, denied: str
) -> dict[str, str]:
    """A model for the board: how it stands, and what can be done with it.

    held: it, in Models.status. denied: why nothing can be done by whoever looks; empty where he may.
    """
    name = model_name(entry)
    state = _state(entry, held, install)
    words = say(f"state_model_{state}")
    facts = [task_name(entry.task), *_sizes(entry, held)]
    told = "".join(f"<span>{html.escape(fact)}</span>" for fact in facts)
    title = html.escape(name)
    still = (
        f'<div class="hub-entry-words"><h3 title="{title}">{title}</h3>'
        f'<p class="hub-entry-facts">{badge(state, words)}{told}</p><div data-live></div></div>'
        f'<div class="hub-entry-actions">{_action(entry, state, install, owner, denied)}</div>'
    )
    live = stage.bar(install, f"{words}: {name}") if install is not None else ""
    if entry.problem is not None:
        live = f'<p class="hub-entry-problem">{html.escape(say("model_problem", problem=entry.problem))}</p>'
    return {"id": entry.name, "html": still, "live": live, "said": f"{name}: {words}"}


def rules(reason: str) -> str:
    """Why buttons nearby cannot be pressed: touch screens and screen readers show no tooltip of them."""
    return f'<p class="hub-note">{html.escape(reason)}</p>' if reason else ""


def cache_facts(usage: Usage, page_bytes: int, denied: str) -> str:
    """What is kept on the disk, and the button that clears it."""
    facts = [
        (say("machine_photos"), _kept(usage.image_cache_mb, usage.image_results)),
        (say("machine_clips"), _kept(usage.video_cache_mb, usage.video_results)),
        (say("machine_page"), _size(page_bytes)),
        (say("machine_disk"), say("machine_free", free=_size(usage.free_mb * 1e6))),
    ]
    clear = button(
        "clear",
        say("machine_clear"),
        say("machine_cache"),
        reason=denied,
        ask=say("machine_clear_ask"),
        yes=say("machine_clear"),
    )
    return f'{_table(facts)}<p class="hub-machine-clear">{clear}</p>{rules(denied)}'


def cleared_words(cleared: Cleared, freed: float) -> str:
    """What a clean-up has done, and what it left."""
    words = [say("machine_cleared", number=cleared.cleared_count, size=_size(freed))]
    if cleared.skipped_in_progress_count:
        words.append(say("machine_kept_busy", number=cleared.skipped_in_progress_count))
    if cleared.skipped_awaiting_download_count:
        words.append(say("machine_kept_waiting", number=cleared.skipped_awaiting_download_count))
    return f'<p class="hub-note hub-note-good">{html.escape(" ".join(words))}</p>'


def _state(entry: ModelEntry, held: Mapping[str, Any], install: JobView | None) -> str:
    if held["in_use"]:
        return "used"
    if held["loading"]:
        return "loading"
    if held["loaded"]:
        return "loaded"
    if entry.problem is not None:
        return "unusable"
    if entry.installed:
        return "installed"
    return "absent" if install is None else "installing"


def _action(entry: ModelEntry, state: str, install: JobView | None, owner: str | None, denied: str) -> str:
    name = model_name(entry)
    match state:
        case "installing":
            own = install is not None and install.job.owner == owner
            return button("cancel", say("cancel"), name) if own else ""
        case "absent" if entry.source is not None:
            return button("install", say("machine_install"), name, reason=denied)
        case "installed":
            return button("load", say("machine_load"), name, reason=denied)
        case "loaded":
            return button("unload", say("machine_unload"), name, reason=denied)
        case "used":
            return button("unload", say("machine_unload"), name, reason=denied or say("machine_in_use"))
    return ""


def _sizes(entry: ModelEntry, held: Mapping[str, Any]) -> list[str]:
    """What a model takes on the disk and in memory, as far as it is there."""
    sizes = []
    if entry.path is not None:
        try:
            sizes.append(say("machine_on_disk", size=file_size(entry.path.stat().st_size)))
        except FileNotFoundError:  # It has just been taken away.
            return sizes
    if held["loaded"] and held["bytes"]:
        sizes.append(say("machine_in_memory", size=file_size(held["bytes"])))
    return sizes


def _precision(precision: str) -> str:
    key = f"precision_{precision}"
    return say(key) if known(key) else precision


def _backend(backends: set[str], kind: str | None, settings: Settings) -> str:
    """What runs networks, as far as one has run, and on how many threads of a processor."""
    words = sorted({_BACKENDS.get(backend.partition("-")[0], backend) for backend in backends})
    if kind == "cpu":
        words.append(say("machine_threads", number=settings.threads or os.cpu_count() or 1))
    return " · ".join(words)


def _kept(megabytes: float, results: int) -> str:
    if not megabytes and not results:
        return say("machine_nothing")
    words = say("machine_one_result") if results == 1 else say("machine_results", number=results)
    return f"{_size(megabytes * 1e6)} · {words}"


def _size(size: float) -> str:
    """Bytes, in the unit that suits."""
    if size < 1:
        return say("megabytes", size=0)
    return say("gigabytes", size=decimal(f"{size / 1e9:.1f}")) if size >= 1e9 else file_size(round(size))


def _table(facts: list[tuple[str, str]]) -> str:
    lines = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="hub-table">{lines}</dl>'
