"""The live tab: the webcam, restored while you look.

The browser alone talks to the camera and, through the hub's own socket, to the hub; Gradio draws the settings.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from hub.device import describe
from hub.service import Hub
from hub.ui.choice import ModelChoice
from hub.ui.component import ASSETS, worded
from hub.ui.language import say
from hub.ui.tab import QUIET
from hub.ui.widgets import strength_slider

WIDTHS = (256, 384, 512, 640)
"""Of the frames that are sent. Networks take multiples of 128 pixels, so that nothing is computed in vain."""
_ERRORS = (
    "unknown_model",
    "no_models",
    "weights_not_installed",
    "weights_unusable",
    "fetch_failed",
    "checksum_mismatch",
    "disk_full",
    "storage_failed",
    "out_of_memory",
    "not_restorable",
    "damaged_frame",
    "model_memory_full",
    "internal_error",
)
_CPU_WIDTH, _FAST_WIDTH = 256, 512
# The settings as the view wants them; they never leave the browser on their way.
_TELL = "(task_type, model_name, strength) => ({task_type, model_name, strength})"


class LiveTab:
    """The tab for the webcam. Call `refresh_on_load` once it is built."""

    def __init__(self, hub: Hub, tabs: gr.Tabs) -> None:
        """tabs: where it is added."""
        with (
            tabs,
            gr.Tab(say("tab_live"), id="live"),
            gr.Row(elem_classes="hub-columns", elem_id="live-columns"),
        ):
            with (
                gr.Column(scale=5, min_width=280, elem_classes="hub-side"),
                gr.Column(elem_classes="hub-card"),
            ):
                gr.HTML(f"<h2>{say('settings_title')}</h2>", apply_default_css=False)
                self.choice = ModelChoice(hub, "live", at_once=True)
                self.strength = strength_slider(say("strength_label"), say("live_strength_info"), "live-strength")
            with (
                gr.Column(scale=7, min_width=280, elem_classes="hub-main", elem_id="live-main"),
                gr.Column(elem_classes="hub-card"),
            ):
                gr.HTML(f"<h2>{say('live_title')}</h2>", apply_default_css=False)
                self.view = live_view(hub, self.choice)
        self.choice.connect(**QUIET)
        settings: list[Any] = [self.choice.task, self.choice.model, self.strength]
        gr.on([setting.change for setting in settings], None, settings, self.view, js=_TELL, **QUIET)

    def refresh_on_load(self, page: gr.Blocks) -> None:
        """Offer the models that are there when the page opens."""
        choice = self.choice
        page.load(choice.refreshed, [choice.task, choice.model], [choice.model, choice.note], **QUIET)


def live_view(hub: Hub, choice: ModelChoice) -> gr.HTML:
    """Camera, screens and figures; its value is `task_type`, `model_name` and `strength`."""
    template = (ASSETS / "live.html").read_text("utf-8").replace("<!-- widths -->", _width_options(hub))
    template = template.replace("<!-- errors -->", _error_words())
    return gr.HTML(
        value={"task_type": choice.task.value, "model_name": choice.model.value, "strength": 1.0},
        html_template=worded(template),
        js_on_load=_script(),
        apply_default_css=False,
        elem_id="live-view",
        key_required=hub.access.required,
    )


def _script() -> str:
    """Gradio takes one piece of JavaScript; it is kept in four files."""
    parts = "\n".join((ASSETS / f"live_{part}.js").read_text("utf-8") for part in ("camera", "figures", "hub"))
    return (ASSETS / "live.js").read_text("utf-8").replace("// <!-- parts -->\n", parts)


def _error_words() -> str:
    """What may go wrong at the hub, in the page's language, fields in braces; its own words serve for the rest."""
    return "".join(f'<i data-error="{code}">{html.escape(say(f"error_{code}"))}</i>' for code in _ERRORS)


def _width_options(hub: Hub) -> str:
    """The menu of frame widths; what is chosen at first suits what the networks run on."""
    usual = _CPU_WIDTH if describe(hub.settings.device, None).kind == "cpu" else _FAST_WIDTH
    return "".join(
        f'<option value="{width}"{" selected" if width == usual else ""}>{say("live_width", width=width)}</option>'
        for width in WIDTHS
    )
