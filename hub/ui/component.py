"""Components of the page's own: a template and a script among the assets, made into one for Gradio."""

from __future__ import annotations

import html
import re
from pathlib import Path

import gradio as gr

from hub.ui.language import say

ASSETS = Path(__file__).parent / "assets"


def component(name: str, elem_id: str) -> gr.HTML:
    """The component whose template is `<name>.html` and whose script is `<name>.js`, without a value."""
    return gr.HTML(
        value=None,
        html_template=worded((ASSETS / f"{name}.html").read_text("utf-8")),
        js_on_load=(ASSETS / f"{name}.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def worded(template: str) -> str:
    """A template with the words for its `{{keys}}` in it.

    As properties the words would be lost when Gradio sets a value before it makes the component, as it does while the
    column around it is hidden.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: html.escape(say(found[1])), template)
