"""The player of a clip before and after restoration: two videos that keep in step, with one set of controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from hub.ui import text

_ASSETS = Path(__file__).parent / "assets"


def clip_player(elem_id: str) -> gr.HTML:
    """The player, empty. Its value is what `playing` returns, or None."""
    return gr.HTML(
        value=None,
        html_template=(_ASSETS / "player.html").read_text("utf-8"),
        js_on_load=(_ASSETS / "player.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id=elem_id,
        text_label=text.PLAYER_LABEL,
        text_before=text.BEFORE,
        text_after=text.AFTER,
        text_clip_before=text.PLAYER_BEFORE,
        text_clip_after=text.PLAYER_AFTER,
        text_play=text.PLAYER_PLAY,
        text_pause=text.PLAYER_PAUSE,
        text_back=text.PLAYER_BACK,
        text_forward=text.PLAYER_FORWARD,
        text_seek=text.PLAYER_SEEK,
        text_mute=text.PLAYER_MUTE,
        text_unmute=text.PLAYER_UNMUTE,
        text_speed=text.PLAYER_SPEED,
        text_wipe=text.PLAYER_WIPE,
        text_beside=text.PLAYER_BESIDE,
        text_divider=text.PLAYER_DIVIDER,
        text_fullscreen=text.PLAYER_FULLSCREEN,
        text_failed=text.PLAYER_FAILED,
    )


def playing(before: str, after: str, *, frames: int, sound: bool) -> dict[str, Any]:
    """The player's value: addresses of two clips with the same frames at the same times.

    frames: in each; sound: whether the second has any.
    """
    return {"before": before, "after": after, "frames": frames, "sound": sound}
