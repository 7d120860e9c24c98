"""What a running job is doing, in the page's language."""

from __future__ import annotations

import re

from hub.jobs.manager import JobView
from hub.ui.language import say, translated
from hub.ui.measures import decimal

# What the hub says to programs in English, and the key of the page's words for it.
_STEPS = (
    (re.compile(r"Processing\.\.\."), "step_begun"),
    (re.compile(r"Reading the photo"), "step_photo"),
    (re.compile(r"Reading the clip"), "step_clip"),
    (re.compile(r"Loading the model (?P<model>.+)"), "step_model"),
    (re.compile(r"Restoring tile (?P<done>\d+) of (?P<total>\d+)"), "step_tile"),
    (re.compile(r"Restored frame (?P<done>\d+)"), "step_frame"),
    (re.compile(r"Restored frame (?P<done>\d+) of (?P<total>\d+)"), "step_frame_of"),
    (re.compile(r"Writing the result"), "step_writing"),
    (re.compile(r"Preparing the comparison"), "step_comparison"),
    (re.compile(r"Downloading (?P<model>.+): (?P<done>\d+) of (?P<total>\d+) MB"), "step_download_of"),
    (re.compile(r"Downloading (?P<model>.+): (?P<done>\d+) MB"), "step_download"),
    (re.compile(r"Downloading (?P<model>.+)"), "step_download_begun"),
)
_ONE_OF_SEVERAL = re.compile(r"(?P<model>.+) \((?P<number>\d+) of (?P<count>\d+)\)")


def step_words(view: JobView) -> str:
    """What a running job does, and how fast, as long as frames are restored; as the hub says it where it is new."""
    message = _translated(view.message)
    speed, total = view.details.get("frames_per_second"), view.details.get("frames_total")
    if not speed or view.details["frames_done"] == total:
        return message
    return say("speed", message=message, rate=decimal(f"{speed:.1f}" if speed >= 1 else f"{speed:.2f}"))


def _translated(message: str) -> str:
    for pattern, key in _STEPS:
        if found := pattern.fullmatch(message):
            parts = found.groupdict()
            if "model" in parts:
                parts["model"] = _model(parts["model"])
            return say(key, **parts)
    return message


def _model(english: str) -> str:
    """A model's name, and of how many it is one where several are downloaded."""
    if several := _ONE_OF_SEVERAL.fullmatch(english):
        return say("step_place", **{**several.groupdict(), "model": translated(several["model"], "model_name_")})
    return translated(english, "model_name_")
