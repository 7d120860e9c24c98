from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status
from hub.ui import stage
from hub.ui.measures import duration, file_size


def view(status: Status, filename: str = "beach.heic", kind: Kind = Kind.IMAGE, **more: Any) -> JobView:
    job = replace(Job.new(kind, "denoise", {}, filename), status=status, **more.pop("job", {}))
    return JobView(job, more.pop("progress", 0), more.pop("message", ""), **more)


def test_a_waiting_job_tells_its_place() -> None:
    assert "Number 3 in the queue" in stage.working(view(Status.PENDING, queue_position=3))
    assert "Next in the queue" in stage.working(view(Status.PENDING, queue_position=1))


def test_a_running_job_tells_how_far_it_is() -> None:
    shown = stage.working(view(Status.PROCESSING, progress=42, message="Restoring tile 5 of 12", eta_seconds=75.2))

    assert 'role="progressbar"' in shown
    assert 'aria-valuenow="42"' in shown
    assert "width:42%" in shown
    assert "42 % · about 1 min 15 s left" in shown
    assert "Restoring tile 5 of 12" in shown
    assert "42 % · estimating" in stage.working(view(Status.PROCESSING, progress=42))


def test_nothing_measured_is_no_number() -> None:
    shown = stage.working(view(Status.PROCESSING, progress=8, message="Restoring tile 1 of 1", eta_seconds=0.9))

    assert "Restoring tile 1 of 1" in shown
    assert "%" not in shown
    assert " left" not in shown
    assert "aria-valuenow" not in shown


def test_a_running_clip_shows_speed_and_latest_frame() -> None:
    def shown(**details: Any) -> str:
        told = view(Status.PROCESSING, kind=Kind.VIDEO, progress=5, message="Restored frame 3 of 60", details=details)
        return stage.working(told, 'clips/"id"/latest.jpg')

    measured = shown(frames_done=3, frames_total=60, frames_per_second=1.24)
    assert "Restored frame 3 of 60 · 1.2 fps" in measured
    assert "5 % · estimating" in measured, "A clip's progress is measured from its first frame on."
    assert 'src="clips/&quot;id&quot;/latest.jpg"' in measured
    assert "· 0.25 fps" in shown(frames_done=3, frames_total=None, frames_per_second=0.2501)
    for unmeasured in ({}, {"frames_done": 60, "frames_total": 60, "frames_per_second": 9.0}):
        assert "fps" not in shown(**unmeasured)
    assert "<figure" in stage.working(view(Status.PENDING, kind=Kind.VIDEO)), "Room for the first frame."
    assert "<figure" not in stage.working(view(Status.PENDING))


def test_a_finished_clip_tells_its_facts() -> None:
    result = {"width": 768, "height": 432, "frames": 754, "codec": "h265", "bytes": 5_300_000, "seconds": 725.0}
    shown = stage.finished(view(Status.COMPLETED, job={"result": {**result, "notes": ["Deinterlaced."]}}), {})

    told = shown.replace("\N{NO-BREAK SPACE}", " ")
    assert "768 \u00d7 432 · 754 frames · H.265 · 5.3 MB · restored in 12 min" in told
    assert "<li>Deinterlaced.</li>" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (59.4, "59 s"), (60, "1 min"), (599, "9 min 59 s"), (725, "12 min"), (7260, "2 h 1 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(1, "1 kB"), (9_800, "10 kB"), (152_000, "0.2 MB"), (5_300_000, "5.3 MB")])
def test_sizes_are_said_as_people_say_them(size: int, words: str) -> None:
    assert file_size(size) == words


def test_strangers_words_stay_words() -> None:
    name = '<img src=x onerror="alert(1)">.png'
    job = {"result_path": "/static_results/images/denoise/processed/1_a_b.png"}
    done = view(Status.COMPLETED, name, job={**job, "result": {"notes": [name], "model": name}})

    for shown in (
        stage.working(view(Status.PENDING, name, message=name)),
        stage.working(view(Status.PROCESSING, name, message=name)),
        stage.finished(done, {}),
        stage.problem(name),
        stage.download(done.job, 1.0),
    ):
        assert "<img" not in shown
        assert 'onerror="' not in shown


def test_a_finished_job_tells_its_facts() -> None:
    result = {"width": 4000, "height": 3000, "model": "denoise_16", "seconds": 12.3, "notes": ["First of 3 frames."]}
    shown = stage.finished(view(Status.COMPLETED, job={"result": result}), {"denoise_16": "Uformer-16"})

    assert "4000 \u00d7 3000\N{NO-BREAK SPACE}· Uformer-16\N{NO-BREAK SPACE}· restored in 12 s" in shown
    assert "<li>First of 3 frames.</li>" in shown


def test_the_download_has_the_photos_name_and_the_results_suffix() -> None:
    path = "/static_results/images/denoise/processed/1_a_b_enhanced_caf%C3%A9.tif"
    job = view(Status.COMPLETED, "café.DNG", job={"result_path": path}).job

    assert stage.download_name(job) == "café-restored.tif"
    link = stage.download(job, 0.5)
    assert f'href="{path[1:]}?v=0.5"' in link, "Relative, so that it holds below a sub-path."
    assert 'download="café-restored.tif"' in link
    assert "TIF" in link
    assert stage.download(view(Status.PROCESSING).job, 1.0) == ""
