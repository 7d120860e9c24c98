"""Widgets that more than one tab has."""

from __future__ import annotations

import gradio as gr


def strength_slider(label: str, info: str, elem_id: str) -> gr.Slider:
    """From the original (0) to the full restoration (1)."""
    return gr.Slider(0.0, 1.0, value=1.0, step=0.05, label=label, info=info, buttons=[], elem_id=elem_id)
