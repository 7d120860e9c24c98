"""The card on which a part of the work is shown, restored before the whole is run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from hub.errors import HubError
from hub.service import Hub
from hub.ui import models, stage
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.viewer import viewer

log = logging.getLogger(__name__)

Updates = dict[Any, Any]


class PreviewCard:
    """Made where it is constructed, and hidden until there is something to see.

    name, compare: the HTML ids of the card and of its viewer.
    """

    def __init__(self, hub: Hub, cache: PageCache, name: str, compare: str) -> None:
        self._hub = hub
        self._cache = cache
        with gr.Column(visible=False, elem_classes="hub-card", elem_id=name) as self.card:
            gr.HTML(f"<h2>{say('preview_title')}</h2>", apply_default_css=False)
            self._stage = gr.HTML("", apply_default_css=False, elem_id=f"{name}-stage")
            with gr.Column(visible=False, elem_classes="hub-result") as self._result:
                self._compare = viewer(compare)

    @property
    def shown(self) -> list[Any]:
        """What `restore` updates."""
        return [self.card, self._stage, self._result, self._compare]

    @property
    def hidden(self) -> Updates:
        """There is nothing to see."""
        return {self.card: gr.Column(visible=False)}

    def _show(self, doing: str, failed: str, make: Callable[[], tuple[str, Any]]) -> Iterator[Updates]:
        """Say at once what is being done, do it, and show it or why it failed.

        make: returns what stands above the viewer, and the viewer's update.
        """
        yield {
            self.card: gr.Column(visible=True),
            self._stage: stage.waiting(doing),
            self._result: gr.Column(visible=False),
        }
        try:
            facts, pair = make()
        except HubError as error:
            yield {self._stage: stage.problem(error, failed)}
            return
        except Exception:
            log.exception("A preview failed.")
            yield {self._stage: stage.problem(say("server_error"), failed)}
            return
        yield {self._stage: facts, self._result: gr.Column(visible=True), self._compare: pair}

    def _model(self, name: str | None) -> str:
        """A model as the page calls it."""
        return models.model_names(self._hub.catalog).get(str(name), "")
