"""The model menu of a tab: what it lists, and what it says about the model that is chosen."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from hub.errors import HubError
from hub.ui import text

if TYPE_CHECKING:
    from hub.catalog import Catalog, ModelEntry


def task_choices(catalog: Catalog) -> list[tuple[str, str]]:
    """(display name, task) pairs for a menu."""
    return [(name, task) for task, name in catalog.tasks().items()]


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
    return {entry.name: entry.text for entry in catalog.models()}


def model_note(catalog: Catalog, name: str | None, *, auto_fetch: bool) -> str:
    """What to know about the chosen model, as HTML: what it is good at, its licence, and what running it would do."""
    if not name:
        return _note(text.MODEL_NONE, warn=True)
    try:
        entry = catalog.get(name)
    except HubError as error:
        return _note(html.escape(error.message), warn=True)
    about = html.escape(entry.description)
    if entry.licence:
        about += f" <small>{html.escape(text.MODEL_LICENCE.format(licence=entry.licence))}</small>"
    note = _note(about)
    if entry.problem is not None:
        return note + _note(html.escape(text.MODEL_PROBLEM.format(problem=entry.problem)), warn=True)
    if entry.installed:
        return note
    if auto_fetch and entry.source is not None:
        return note + _note(text.MODEL_WILL_FETCH, warn=True)
    command = f"<code>python -m hub fetch {html.escape(entry.name)}</code>"
    return note + _note(f"{text.MODEL_HOW_TO_FETCH} {command}", warn=True)


def _label(entry: ModelEntry) -> str:
    if entry.problem is not None:
        return text.MODEL_UNUSABLE.format(name=entry.text)
    return entry.text if entry.installed else text.MODEL_NOT_INSTALLED.format(name=entry.text)


def _note(words: str, *, warn: bool = False) -> str:
    return f'<p class="hub-note{" hub-note-warn" if warn else ""}">{words}</p>'
