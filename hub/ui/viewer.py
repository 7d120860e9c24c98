"""The viewer of two pictures of the same size, before and after: one over the other, with a divider, zoom and pan."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from hub.ui.language import say

_ASSETS = Path(__file__).parent / "assets"


def viewer(elem_id: str) -> gr.HTML:
    """The viewer, empty. Its value is what `compared` returns, or None."""
    return gr.HTML(
        value=None,
        html_template=worded("viewer.html"),
        js_on_load=(_ASSETS / "viewer.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def compared(before: Path, after: Path, zoom: Literal["fit", "one"] = "fit") -> dict[str, Any]:
    """The viewer's value: two pictures in the page's cache.

    zoom: how it begins; "one" is a pixel of the picture on a pixel of the screen.
    """
    return {"before": f"gradio_api/file={before}", "after": f"gradio_api/file={after}", "zoom": zoom}


def worded(name: str) -> str:
    """A template of the assets with the words for its `{{keys}}` in it.

    As properties the words would be lost when Gradio sets a value before it makes the component, as it does while the
    column around it is hidden.
    """
    template = (_ASSETS / name).read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: html.escape(say(found[1])), template)
