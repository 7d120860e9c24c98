"""Widgets that more than one tab has."""

from __future__ import annotations

import gradio as gr

from hub.ui import stage, text


def strength_slider(label: str, info: str, elem_id: str) -> gr.Slider:
    """From the original (0) to the full restoration (1)."""
    return gr.Slider(0.0, 1.0, value=1.0, step=0.05, label=label, info=info, elem_id=elem_id)


def comparison(elem_id: str) -> gr.ImageSlider:
    """Two pictures, one over the other, below the words that name them; PNG files are shown as they are."""
    gr.HTML(stage.before_after(), apply_default_css=False)
    return gr.ImageSlider(
        label=text.COMPARE_LABEL,
        show_label=False,
        type="filepath",
        format="png",
        buttons=["fullscreen"],
        interactive=False,
        max_height=640,
        elem_id=elem_id,
        elem_classes="hub-compare",
    )
