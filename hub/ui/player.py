"""The player of a clip before and after restoration: two videos that keep in step, with one set of controls."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import gradio as gr

from hub.ui.language import say

_ASSETS = Path(__file__).parent / "assets"


def clip_player(elem_id: str) -> gr.HTML:
    """The player, empty. Its value is what `playing` returns, or None."""
    # Words go into the template here: given as properties they are lost when Gradio sets a value before it makes the
    # component, as it does while the column of the result is hidden.
    template = (_ASSETS / "player.html").read_text("utf-8")
    return gr.HTML(
        value=None,
        html_template=re.sub(r"\{\{(\w+)\}\}", lambda found: html.escape(say(found[1])), template),
        js_on_load=(_ASSETS / "player.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def playing(before: str, after: str, *, frames: int, seconds: float, sound: bool) -> dict[str, Any]:
    """The player's value: addresses of two clips with the same frames at the same times.

    frames, seconds: in each, and how long they last; sound: whether the second has any.
    """
    return {"before": before, "after": after, "frame": seconds / frames if frames else 0.0, "sound": sound}
