"""The viewer of two pictures of the same size, before and after: one over the other, with a divider, zoom and pan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import gradio as gr

from hub.ui.component import component


def viewer(elem_id: str) -> gr.HTML:
    """The viewer, empty. Its value is what `compared` returns, or None."""
    return component("viewer", elem_id)


def compared(before: Path, after: Path, zoom: Literal["fit", "one"] = "fit") -> dict[str, Any]:
    """The viewer's value: two pictures in the page's cache.

    zoom: how it begins; "one" is a pixel of the picture on a pixel of the screen.
    """
    return {"before": f"gradio_api/file={before}", "after": f"gradio_api/file={after}", "zoom": zoom}
