"""Widgets that more than one tab has."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hub.errors import InvalidInput
from hub.ui.language import say
from hub.ui.measures import decimal


def strength_slider(label: str, info: str, elem_id: str) -> gr.Slider:
    """From the original (0) to the full restoration (1)."""
    return gr.Slider(0.0, 1.0, value=1.0, step=0.05, label=label, info=info, buttons=[], elem_id=elem_id)


def number_of(slider: gr.Slider, values: dict[Any, Any]) -> float:
    """Where a slider stands, by the page's values. Raises InvalidInput if its field was emptied."""
    value = values[slider]
    if not isinstance(value, int | float):
        raise InvalidInput(
            "missing_number",
            say(
                "number_missing",
                label=slider.label,
                least=decimal(f"{slider.minimum:g}"),
                most=decimal(f"{slider.maximum:g}"),
            ),
        )
    return float(value)
