"""What is said of a clip's run beforehand: the part that was chosen, how long it will take, how large it will be."""

from __future__ import annotations

import html
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from hub.errors import HubError, InvalidInput
from hub.service import Hub, VideoOptions
from hub.ui import stage
from hub.ui.frames import Span
from hub.ui.language import say
from hub.ui.measures import decimal, duration, file_size, length
from hub.ui.problems import explain
from hub.video.estimate import Estimate

log = logging.getLogger(__name__)


class TrimButtons:
    """Beside the slider of frames: they take the shown frame for the first or the last one, and say what is chosen."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="hub-trim"):
            self.start = gr.Button(say("range_here_start"), size="sm", min_width=90, elem_id="video-start-here")
            self.end = gr.Button(say("range_here_end"), size="sm", min_width=90, elem_id="video-end-here")
            self.clear = gr.Button(say("range_clear"), size="sm", min_width=90, elem_id="video-whole")
        self.range = gr.HTML("", apply_default_css=False, elem_id="video-range")

    def connect(self, clip: gr.HTML, second: gr.Slider, start: gr.Textbox, end: gr.Textbox, **event: Any) -> None:
        """Fill the fields `start` and `end` with the time of the frame that `second` shows of the picked `clip`."""
        # Not preprocessed: Gradio would not let an emptied field pass.
        self.start.click(before_frame, [clip, second], start, preprocess=False, **event)
        self.end.click(after_frame, [clip, second], end, preprocess=False, **event)
        self.clear.click(_whole, None, [start, end], **event)


def before_frame(clip: Any, seconds: float | None) -> str:
    """When the frame that is shown at a second of a picked clip begins."""
    return clock(Span(**clip["span"]).clamp(seconds))


def after_frame(clip: Any, seconds: float | None) -> str:
    """When it ends."""
    span = Span(**clip["span"])
    return clock(span.clamp(seconds) + span.step)


def _whole() -> tuple[str, str]:
    return "", ""


def clock(seconds: float) -> str:
    """A time as people write it and `seconds_of` reads it: `0:07.25`, `1:02:03`."""
    hundredths = max(0, round(100 * seconds))
    minutes, rest = divmod(hundredths, 6000)
    written = f"{rest // 100:02d}" + (decimal(f".{rest % 100:02d}") if rest % 100 else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{written}" if hours else f"{minutes}:{written}"


def foretell(
    hub: Hub, path: Path, span: Span, choose: Callable[[], VideoOptions], *, part: gr.HTML, line: gr.HTML
) -> Iterator[dict[Any, Any]]:
    """Say in `part` which part of a clip is chosen, then in `line` how long it takes and how large the result will be.

    choose: returns the options, or raises InvalidInput for what makes no sense in them; it is told here.
    """
    try:
        options = choose()
        words = range_words(span, options.start, options.end)
    except InvalidInput as error:
        place = part if error.code == "invalid_range" else line
        yield {part: "", line: "", place: warning(explain(error))}
        return
    yield {part: words, line: stage.note(say("forecast_working"))}
    try:
        yield {line: estimate_words(hub.estimate_video(path, options))}
    except HubError as error:
        yield {line: warning(explain(error))}
    except Exception:
        log.exception("Estimating %s failed.", path.name)
        yield {line: ""}  # Nobody needs it to go on.


def range_words(span: Span, start: float | None, end: float | None) -> str:
    """The chosen part and its length, as HTML. Raises InvalidInput where nothing is left.

    start, end: seconds, None is open.
    """
    first, last = span.first, span.last + span.step
    begin = first if start is None else max(first, start)
    stop = last if end is None else min(last, end)
    if begin >= stop:
        raise InvalidInput("invalid_range", say("range_empty", first=clock(first), last=clock(last)))
    part = say("range_part", start=clock(begin), end=clock(stop), length=length(stop - begin))
    whole = say("range_whole", length=length(last - first))
    return _line(whole if (begin, stop) == (first, last) else part)


def estimate_words(estimate: Estimate) -> str:
    """How long it will take and how large it will be, as far as that is known, as HTML."""
    size = estimate.bytes
    weight = say("forecast_size_unknown") if size is None else say("forecast_size", size=file_size(_rough(size)))
    return _line(f"{_time_words(estimate)} {weight}")


def _time_words(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return say("forecast_time_unknown")
    if not estimate.rough:
        return say("forecast_time", time=duration(_rough(estimate.seconds)))
    unit = 60 if estimate.seconds > 60 else 1
    return say("forecast_time_rough", time=duration(unit * _rough(estimate.seconds / unit, digits=1)))


def _rough(number: float, digits: int = 2) -> int:
    """To one or two digits, for nobody knows more."""
    if number < 1:
        return 1
    places = max(0, math.floor(math.log10(number)) - digits + 1)
    return int(round(number / 10**places) * 10**places)


def warning(words: str) -> str:
    """What is wrong with the choice, as HTML."""
    return f'<p class="hub-note hub-note-warn" role="alert">{html.escape(words)}</p>'


def _line(words: str) -> str:
    return f'<p class="hub-note">{html.escape(words)}</p>'
