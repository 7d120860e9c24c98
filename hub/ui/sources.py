"""The photos that the picker is given: uploads in the page's cache, and the examples."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub.errors import HubError
from hub.media.image import PhotoInfo, encode
from hub.regions import GRID, SIDE
from hub.service import Hub
from hub.ui.cache import PageCache
from hub.ui.caption import photo_caption
from hub.ui.examples import Example
from hub.ui.language import say
from hub.ui.picker import picked
from hub.ui.problems import explain

log = logging.getLogger(__name__)

PREVIEW_SIDE = 800
_LARGE_PIXELS = 1_000_000
"""From here on a photo takes long enough to see a part of it first."""


class PhotoSources:
    """Finds photos, and makes of each what the picker holds. Whatever goes wrong is returned in words."""

    def __init__(self, hub: Hub, cache: PageCache, examples: Sequence[Example]) -> None:
        self._hub = hub
        self._cache = cache
        self._examples = {example.key: example for example in examples}

    def upload(self, name: str, path: Any) -> dict[str, Any] | str:
        """A file that a browser has uploaded."""
        file = self._cache.resolve(path)
        if file is None:
            return say("picker_gone")
        self._cache.sweep()
        return self._picked(file, name, upload=str(file))

    def example(self, key: str) -> dict[str, Any] | str:
        """An example."""
        example = self._examples.get(key)
        return self._picked(example.path, example.path.name, example=key) if example else say("picker_gone")

    def find(self, photo: dict[str, Any]) -> Path | str:
        """The file of a photo in the picker."""
        example = self._examples.get(str(photo.get("example")))
        path = example.path if example else self._cache.resolve(photo.get("upload"))
        return path or say("picker_gone")

    def _picked(self, path: Path, name: str, **source: str) -> dict[str, Any] | str:
        """With a small JPEG that any browser can show."""
        try:
            info = self._hub.decoder.probe(path)
            preview = self._cache.new_file("preview.jpg")
            encode(self._hub.decoder.preview(path, PREVIEW_SIDE), preview, format="jpeg", quality=85)
        except HubError as error:
            return explain(error)
        except Exception:
            log.exception("The preview of %r failed.", name)
            return say("server_error")
        return picked(name, photo_caption(info), say("picker_alt"), preview, framed=_framed(info), **source)


def _framed(info: PhotoInfo) -> dict[str, int] | None:
    """What the picker's frame needs to know to choose a part of a photo; None where there is nothing to choose."""
    if info.width * info.height < _LARGE_PIXELS:
        return None
    return {"width": info.width, "height": info.height, "side": SIDE, "grid": GRID}
