"""What the video tab lets people choose besides task and model."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

from hub.errors import InvalidInput
from hub.service import CODECS, VideoOptions
from hub.ui.language import say
from hub.ui.widgets import number_of, strength_slider

_QUALITIES = 51  # The scale of H.264 and H.265; that of AV1 and VP9 goes on, to where nobody wants to be.
_WITHOUT_QUALITY = frozenset({"prores", "lossless"})
_TIME = re.compile(r"-?(\d{1,6}:){0,2}\d{1,9}(\.\d{0,9})?", re.ASCII)


class ClipSettings:
    """The widgets, made where it is made; `connect` them once task and model are there too."""

    def __init__(self, task: gr.Radio, model: gr.Dropdown) -> None:
        self._task = task
        self._model = model
        self.temporal = gr.Checkbox(
            suggest_temporal(str(task.value)),
            label=say("temporal_label"),
            info=say("temporal_info"),
            elem_id="video-temporal",
        )
        self.strength = strength_slider(say("strength_label"), say("strength_info"), "video-strength")
        with gr.Accordion(say("more_options"), open=False, elem_id="video-more", elem_classes="hub-more"):
            self.codec = gr.Dropdown(
                [(say(f"codec_{codec}"), codec) for codec in CODECS],
                value=VideoOptions.codec,
                label=say("codec_label"),
                filterable=False,
                elem_id="video-codec",
            )
            self.quality = gr.Slider(
                0,
                _QUALITIES,
                value=VideoOptions.quality,
                step=1,
                label=say("quality_label"),
                info=say("quality_info"),
                buttons=[],
                elem_id="video-quality",
            )
            with gr.Row(elem_classes="hub-range"):
                self.start = _time_field(say("start_label"), say("start_hint"), "video-start")
                self.end = _time_field(say("end_label"), say("end_hint"), "video-end")

    @property
    def widgets(self) -> set[Any]:
        """What `options` wants the values of."""
        return {
            self._task,
            self._model,
            self.temporal,
            self.strength,
            self.codec,
            self.quality,
            self.start,
            self.end,
        }

    @property
    def range(self) -> tuple[gr.Textbox, gr.Textbox]:
        """From when to when."""
        return self.start, self.end

    def connect(self, **event: Any) -> None:
        """Let a choice change what goes with it; event: how Gradio's events are handled."""
        self._task.change(suggest_temporal, self._task, self.temporal, **event)
        self.codec.change(_quality_of, self.codec, self.quality, **event)

    def options(self, values: dict[Any, Any]) -> VideoOptions:
        """The options of a clip that the page shows, by the widgets' values. Raises InvalidInput."""
        return VideoOptions(
            task_type=values[self._task],
            model_name=values[self._model],
            strength=number_of(self.strength, values),
            codec=values[self.codec],
            quality=int(number_of(self.quality, values)),
            temporal=bool(values[self.temporal]),
            start=seconds_of(values[self.start]),
            end=seconds_of(values[self.end]),
            display=True,
        )


def suggest_temporal(task: str) -> bool:
    """Whether smoothing over time is right for a task, as a rule."""
    return VideoOptions(task_type=task).smooths


def _quality_of(codec: str) -> gr.Slider:
    """The slider of the quality, if the codec has any."""
    fixed = codec in _WITHOUT_QUALITY
    return gr.Slider(interactive=not fixed, info=say("quality_none") if fixed else say("quality_info"))


def _time_field(label: str, hint: str, elem_id: str) -> gr.Textbox:
    return gr.Textbox("", label=label, placeholder=hint, max_lines=1, min_width=100, elem_id=elem_id)


def seconds_of(words: Any) -> float | None:
    """A time as people write it (`83`, `1:23`, `0:01:23.5`) in seconds; None where nothing is written.

    Raises InvalidInput.
    """
    written = str(words or "").strip().replace(",", ".")
    if not written:
        return None
    if not _TIME.fullmatch(written):
        raise InvalidInput("invalid_range", say("time_wrong", words=written))
    sign = -1 if written.startswith("-") else 1
    seconds = 0.0
    for part in written.lstrip("-").split(":"):
        seconds = 60 * seconds + float(part)
    return sign * seconds
