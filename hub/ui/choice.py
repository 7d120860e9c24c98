"""The choice of task and model: two menus that go together, and what is to be known of the model."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hub.service import Hub
from hub.ui import models
from hub.ui.language import say


class ModelChoice:
    """The widgets, made where it is made; `connect` them at once.

    name: begins their ids. at_once: models that can run at once come first.
    """

    def __init__(self, hub: Hub, name: str, *, at_once: bool = False) -> None:
        self._hub = hub
        self._at_once = at_once
        tasks = models.task_choices(hub.catalog)
        task = tasks[0][1]
        model = models.preferred_model(hub.catalog, task)
        self.task = gr.Radio(
            tasks, value=task, label=say("task_label"), elem_id=f"{name}-task", elem_classes="hub-task"
        )
        self.model = gr.Dropdown(
            self._choices(task), value=model, label=say("model_label"), filterable=False, elem_id=f"{name}-model"
        )
        self.note = gr.HTML(self._note(model), apply_default_css=False, elem_id=f"{name}-model-note")

    def connect(self, **event: Any) -> None:
        """Let the task change the models, and the model its note; event: how Gradio's events are handled."""
        self.task.change(self.refreshed, [self.task, self.model], [self.model, self.note], **event)
        self.model.change(self._note, self.model, self.note, **event)

    def refreshed(self, task: str, model: str | None) -> tuple[Any, str]:
        """The menu of models as they are now, with the chosen one if it suits the task, and its note."""
        chosen = models.preferred_model(self._hub.catalog, task, model)
        return gr.Dropdown(choices=self._choices(task), value=chosen), self._note(chosen)

    def _choices(self, task: str) -> list[tuple[str, str]]:
        choices = models.model_choices(self._hub.catalog, task)
        if self._at_once:
            ready = {entry.name for entry in self._hub.catalog.models(task) if entry.installed}
            choices.sort(key=lambda choice: choice[1] not in ready)
        return choices

    def _note(self, model: str | None) -> str:
        return models.model_note(self._hub.catalog, model, auto_fetch=self._hub.settings.auto_fetch)
