"""A part of a large photo, restored and shown before the whole is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hub.media.image import write_display_png
from hub.service import Hub, PhotoOptions
from hub.ui import stage
from hub.ui.cache import PageCache
from hub.ui.language import say
from hub.ui.preview_card import PreviewCard, Updates
from hub.ui.viewer import compared
from hub.ui.visitors import check_rate


class PartPreview(PreviewCard):
    """The card that shows it."""

    def __init__(self, hub: Hub, cache: PageCache) -> None:
        super().__init__(hub, cache, "photo-preview", "photo-preview-compare")

    def restore(
        self,
        path: Path,
        left: float,
        top: float,
        choose: Callable[[], PhotoOptions],
        request: gr.Request | None,
    ) -> Iterator[Updates]:
        """Restore the part near a place, in the photo's pixels, and show it; says at once that it is being done.

        choose: returns the options, or raises InvalidInput.
        """

        def make() -> tuple[str, Any]:
            options = choose()
            check_rate(self._hub, request)
            before, after, region = self._hub.display.preview_region(path, left, top, options)
            pair = self._cache.new_file("before.png"), self._cache.new_file("after.png")
            for picture, file in zip((before, after), pair, strict=True):
                write_display_png(picture, file)
            model = self._model(options.model_name)
            size = say("size", width=region.width, height=region.height)
            words = say("part_facts", size=size, left=region.left, top=region.top, model=model)
            return stage.part(words), compared(*pair, zoom="one")

        doing = say("part_working", left=round(left), top=round(top))
        yield from self._show(doing, say("part_failed"), make)
