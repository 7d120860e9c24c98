from __future__ import annotations

import time
from pathlib import Path

import pytest

from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.service import Hub, VideoOptions
from hub.ui.language import say, speaking
from hub.ui.steps import step_words


def view(message: str, **details: object) -> JobView:
    return JobView(Job.new(Kind.VIDEO, "denoise", {}, "a.mp4"), 5, message, details=details)


@pytest.mark.parametrize(
    "message",
    [
        "Restoring tile 5 of 12",
        "Restored frame 3",
        "Restored frame 3 of 60",
        "Loading the model Uformer-16: any noise, fast",
        "Downloading Uformer-B: camera noise, finest (1 of 2): 3 of 200 MB",
        "Downloading Uformer-B: camera noise, finest: 3 MB",
    ],
)
def test_english_says_what_the_hub_says(message: str) -> None:
    assert step_words(view(message)) == message


def test_the_speed_is_told_while_frames_are_restored() -> None:
    told = view("Restored frame 3 of 60", frames_done=3, frames_total=60, frames_per_second=1.24)
    assert step_words(told) == "Restored frame 3 of 60 · 1.2 fps"
    assert step_words(view("Something new")) == "Something new"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Loading the model Uformer-B: motion blur", "Modell {name} wird geladen"),
        ("Downloading Uformer-B: motion blur (1 of 2): 3 of 200 MB", "{name} (1 von 2)"),
        ("Loading the model of my own", "of my own"),
    ],
)
def test_models_are_called_as_the_page_calls_them(message: str, words: str) -> None:
    with speaking("de"):
        name = say("model_name_deblur_b")
        assert words.format(name=name) in step_words(view(message))


def test_all_that_a_real_job_says_is_known(hub: Hub, noisy_clip: Path) -> None:
    with noisy_clip.open("rb") as stream:
        job = hub.submit_video(stream, "a.mp4", VideoOptions(temporal=False, end=0.2, display=True))
    said = set()
    while (current := hub.view(job.id)).job.status in (Status.PENDING, Status.PROCESSING):
        if current.job.status is Status.PROCESSING:
            said.add(current.message)
        time.sleep(0.005)

    assert current.job.status is Status.COMPLETED
    assert said
    with speaking("de"):
        assert [each for each in said if step_words(view(each)) == each] == []
