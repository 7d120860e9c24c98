"""One frame of a clip, restored and shown before the whole is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hub.service import Hub, VideoOptions
from hub.ui import stage
from hub.ui.cache import PageCache
from hub.ui.frames import Span, save_preview
from hub.ui.language import say
from hub.ui.measures import decimal
from hub.ui.preview_card import PreviewCard, Updates
from hub.ui.viewer import compared
from hub.ui.visitors import check_rate


class FramePreview(PreviewCard):
    """The card that shows it."""

    def __init__(self, hub: Hub, cache: PageCache) -> None:
        super().__init__(hub, cache, "video-preview", "video-compare")

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

        def make() -> tuple[str, Any]:
            check_rate(self._hub, request)
            options = choose()
            pair = save_preview(self._hub, self._cache, path, span, seconds, options)
            return stage.previewed(time, self._model(options.model_name), smooths=options.smooths), compared(*pair)

        yield from self._show(say("preview_working", time=time), say("preview_failed"), make)
