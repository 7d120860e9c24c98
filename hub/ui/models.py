"""What models and tasks are called here, and the model menu of a tab: what it lists, and what it says of a choice."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from hub.errors import HubError
from hub.ui.language import known, say
from hub.ui.problems import explain

if TYPE_CHECKING:
    from hub.catalog import Catalog, ModelEntry


def task_choices(catalog: Catalog) -> list[tuple[str, str]]:
    """(display name, task) pairs for a menu."""
    return [(task_name(task), task) for task in catalog.tasks()]


def model_choices(catalog: Catalog, task: str) -> list[tuple[str, str]]:
    """(display name, model name) pairs for a menu, with those that cannot run at once marked so."""
    return [(_label(entry), entry.name) for entry in catalog.models(task)]


def preferred_model(catalog: Catalog, task: str, chosen: str | None = None) -> str | None:
    """The chosen model if it belongs to the task, else the task's best; None if it has no model at all."""
    names = [entry.name for entry in catalog.models(task)]
    if chosen in names:
        return chosen
    try:
        return catalog.default_model(task).name
    except HubError:
        return names[0] if names else None


def model_names(catalog: Catalog) -> dict[str, str]:
    """Model name to display name, over all tasks."""
    return {entry.name: model_name(entry) for entry in catalog.models()}


def task_name(task: str) -> str:
    """What people call a task."""
    key = f"task_{task}"
    return say(key) if known(key) else task


def model_name(entry: ModelEntry) -> str:
    """What people call a model; of one that is not the hub's own, as its file is called."""
    key = f"model_name_{entry.name}"
    return say(key) if known(key) else entry.text


def model_good(entry: ModelEntry) -> str:
    """What a model is good at, in a sentence or two."""
    key = f"model_good_{entry.name}"
    return say(key) if known(key) else entry.description


def model_note(catalog: Catalog, name: str | None, *, auto_fetch: bool) -> str:
    """What to know about the chosen model, as HTML: what it is good at, its licence, and what running it would do."""
    if not name:
        return _note(say("model_none"), warn=True)
    try:
        entry = catalog.get(name)
    except HubError as error:
        return _note(html.escape(explain(error)), warn=True)
    about = html.escape(model_good(entry))
    if entry.licence:
        about += f" <small>{html.escape(say('model_licence', licence=entry.licence))}</small>"
    note = _note(about)
    if entry.problem is not None:
        return note + _note(html.escape(say("model_problem", problem=entry.problem)), warn=True)
    if entry.installed:
        return note
    if auto_fetch and entry.source is not None:
        return note + _note(say("model_will_fetch"), warn=True)
    command = f"<code>python -m hub fetch {html.escape(entry.name)}</code>"
    return note + _note(f"{say('model_how_to_fetch')} {command}", warn=True)


def _label(entry: ModelEntry) -> str:
    if entry.problem is not None:
        return say("model_unusable", name=model_name(entry))
    return model_name(entry) if entry.installed else say("model_not_installed", name=model_name(entry))


def _note(words: str, *, warn: bool = False) -> str:
    return f'<p class="hub-note{" hub-note-warn" if warn else ""}">{words}</p>'
