"""The player of a clip before and after restoration: two videos that keep in step, with one set of controls."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hub.ui.component import component


def clip_player(elem_id: str) -> gr.HTML:
    """The player, empty. Its value is what `playing` returns, or None."""
    return component("player", elem_id)


def playing(before: str, after: str, *, frames: int, seconds: float, sound: bool) -> dict[str, Any]:
    """The player's value: addresses of two clips with the same frames at the same times.

    frames, seconds: in each, and how long they last; sound: whether the second has any.
    """
    return {"before": before, "after": after, "frame": seconds / frames if frames else 0.0, "sound": sound}
