"""A part of a large photo, restored and shown before the whole is run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hub.errors import HubError
from hub.media.image import write_display_png
from hub.service import Hub, PhotoOptions
from hub.ui import models, stage
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.viewer import compared, viewer
from hub.ui.visitors import check_rate

log = logging.getLogger(__name__)

Updates = dict[Any, Any]


class PartPreview:
    """The card that shows it, made where it is made and hidden until then."""

    def __init__(self, hub: Hub, cache: PageCache) -> None:
        self._hub = hub
        self._cache = cache
        with gr.Column(visible=False, elem_classes="hub-card", elem_id="photo-preview") as self.card:
            gr.HTML(f"<h2>{say('preview_title')}</h2>", apply_default_css=False)
            self._stage = gr.HTML("", apply_default_css=False, elem_id="photo-preview-stage")
            with gr.Column(visible=False, elem_classes="hub-result") as self._result:
                self._compare = viewer("photo-preview-compare")

    @property
    def shown(self) -> list[Any]:
        """What `restore` updates."""
        return [self.card, self._stage, self._result, self._compare]

    @property
    def hidden(self) -> Updates:
        """There is nothing to see."""
        return {self.card: gr.Column(visible=False)}

    def restore(
        self, path: Path, left: float, top: float, options: PhotoOptions, request: gr.Request | None
    ) -> Iterator[Updates]:
        """Restore the part near a place, in the photo's pixels, and show it; says at once that it is being done."""
        yield {
            self.card: gr.Column(visible=True),
            self._stage: stage.waiting(say("part_working", left=round(left), top=round(top))),
            self._result: gr.Column(visible=False),
        }
        try:
            check_rate(self._hub, request)
            before, after, region = self._hub.display.preview_region(path, left, top, options)
            pair = self._cache.new_file("before.png"), self._cache.new_file("after.png")
            for picture, file in zip((before, after), pair, strict=True):
                write_display_png(picture, file)
        except HubError as error:
            yield {self._stage: stage.problem(error, say("part_failed"))}
            return
        except Exception:
            log.exception("Previewing a part of %s failed.", path.name)
            yield {self._stage: stage.problem(say("server_error"), say("part_failed"))}
            return
        model = models.model_names(self._hub.catalog).get(str(options.model_name), "")
        size = say("size", width=region.width, height=region.height)
        yield {
            self._stage: stage.part(say("part_facts", size=size, left=region.left, top=region.top, model=model)),
            self._result: gr.Column(visible=True),
            self._compare: compared(*pair, zoom="one"),
        }
