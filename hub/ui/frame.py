"""One frame of a clip, restored and shown before the whole is run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hub.errors import HubError
from hub.service import Hub, VideoOptions
from hub.ui import models, stage
from hub.ui.cache import PageCache
from hub.ui.frames import Span, save_preview
from hub.ui.language import say
from hub.ui.measures import decimal
from hub.ui.viewer import compared, viewer
from hub.ui.visitors import check_rate

log = logging.getLogger(__name__)

Updates = dict[Any, Any]


class FramePreview:
    """The card that shows it, made where it is made and hidden until then."""

    def __init__(self, hub: Hub, cache: PageCache) -> None:
        self._hub = hub
        self._cache = cache
        with gr.Column(visible=False, elem_classes="hub-card", elem_id="video-preview") as self.card:
            gr.HTML(f"<h2>{say('preview_title')}</h2>", apply_default_css=False)
            self._stage = gr.HTML("", apply_default_css=False, elem_id="video-preview-stage")
            with gr.Column(visible=False, elem_classes="hub-result") as self._result:
                self._compare = viewer("video-compare")

    @property
    def shown(self) -> list[Any]:
        """What `restore` updates."""
        return [self.card, self._stage, self._result, self._compare]

    @property
    def hidden(self) -> Updates:
        """There is nothing to see."""
        return {self.card: gr.Column(visible=False)}

    def restore(
        self,
        path: Path,
        span: Span,
        seconds: float,
        choose: Callable[[], VideoOptions],
        request: gr.Request | None,
    ) -> Iterator[Updates]:
        """Restore the frame at a time and show it; says at once that it is being done.

        choose: returns the options, and raises InvalidInput for what makes no sense in them; it is told here.
        """
        seconds = span.clamp(seconds)
        time = say("seconds", seconds=decimal(f"{seconds:.2f}"))
        yield {
            self.card: gr.Column(visible=True),
            self._stage: stage.waiting(say("preview_working", time=time)),
            self._result: gr.Column(visible=False),
        }
        try:
            check_rate(self._hub, request)
            options = choose()
            pair = save_preview(self._hub, self._cache, path, span, seconds, options)
        except HubError as error:
            yield {self._stage: stage.problem(error, say("preview_failed"))}
            return
        except Exception:
            log.exception("Previewing a frame of %s failed.", path.name)
            yield {self._stage: stage.problem(say("server_error"), say("preview_failed"))}
            return
        model = models.model_names(self._hub.catalog).get(str(options.model_name), "")
        yield {
            self._stage: stage.previewed(time, model, smooths=options.smooths),
            self._result: gr.Column(visible=True),
            self._compare: compared(*pair),
        }
