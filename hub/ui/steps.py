"""What a running job is doing, in the page's language: `step_…` are the words that the hub says to programs."""

from __future__ import annotations

import re

from hub.jobs.manager import JobView
from hub.jobs.model import Status
from hub.jobs.view import MESSAGES
from hub.ui.language import say, translated
from hub.ui.measures import decimal

_ONE_OF_SEVERAL = re.compile(r"(?P<model>.+) \((?P<number>\d+) of (?P<count>\d+)\)")


def step_words(view: JobView) -> str:
    """What a running job does, and how fast, as long as frames are restored; as the hub says it where it is new."""
    begun = view.message == MESSAGES[Status.PROCESSING]
    message = say("step_begun") if begun else translated(view.message, "step_", _field)
    speed, total = view.details.get("frames_per_second"), view.details.get("frames_total")
    if not speed or view.details["frames_done"] == total:
        return message
    return say("speed", message=message, rate=decimal(f"{speed:.1f}" if speed >= 1 else f"{speed:.2f}"))


def _field(words: str) -> str:
    """What stands in a step's gap: a number, or a model's name and, where several are downloaded, which of them."""
    if several := _ONE_OF_SEVERAL.fullmatch(words):
        return say("one_of_several", **{**several.groupdict(), "model": translated(several["model"], "model_name_")})
    return translated(words, "model_name_")
