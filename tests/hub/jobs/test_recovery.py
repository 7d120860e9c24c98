from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from hub.jobs.manager import JobManager
from hub.jobs.model import Job, Kind, Status
from hub.jobs.recovery import INTERRUPTIONS_IN_PLACE, MAX_INTERRUPTIONS

from .bench import Bench, copy_upload


@pytest.fixture
def dead(tmp_path: Path) -> Bench:
    """What a killed hub left: nothing in it runs, anything can be arranged in its table and files."""
    return Bench(tmp_path, copy_upload)


def leave(dead: Bench, *, attempts: int = 0, status: Status = Status.PENDING, kind: Kind = Kind.IMAGE) -> Job:
    """A job as a crash leaves it."""
    job = Job.new(kind, "denoise", {}, "photo.jpg")
    dead.files.save_upload(job.id, job.filename, io.BytesIO(job.id.encode()))
    dead.store.add(job)
    if status is not Status.PENDING:
        dead.store.transition(job.id, Status.PROCESSING, attempts=attempts, started_at=time.time())
        dead.files.make_job_dir(job.id)
    if status is Status.CANCELLED:
        dead.store.transition(job.id, Status.CANCELLED)
    return job


def restart(dead: Bench) -> JobManager:
    again = Bench(dead.folder, copy_upload, workers=1)
    again.manager.start()
    dead.store.close()
    return again.manager


def test_interrupted_jobs_run_again_at_their_old_place(dead: Bench) -> None:
    interrupted, waiting = leave(dead, attempts=1, status=Status.PROCESSING), leave(dead)
    dead.files.publish(interrupted, ".png", lambda path: path.write_bytes(b"of the first run"))
    manager = restart(dead)
    first, second = manager.wait(interrupted.id, 10).job, manager.wait(waiting.id, 10).job
    assert (first.status, first.attempts) == (Status.COMPLETED, 2)
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at <= second.started_at
    assert sorted(path.read_bytes() for path in dead.results()) == sorted(job.id.encode() for job in (first, second))
    manager.stop()


def test_a_job_interrupted_often_goes_behind_the_others(dead: Bench) -> None:
    suspect = leave(dead, attempts=INTERRUPTIONS_IN_PLACE, status=Status.PROCESSING)
    waiting = leave(dead)
    manager = restart(dead)
    last, first = manager.wait(suspect.id, 10).job, manager.wait(waiting.id, 10).job
    assert last.status is first.status is Status.COMPLETED
    assert last.started_at is not None
    assert first.started_at is not None
    assert first.started_at <= last.started_at
    manager.stop()


def test_a_job_that_kills_the_server_again_and_again_is_given_up(dead: Bench) -> None:
    poison = leave(dead, attempts=MAX_INTERRUPTIONS, status=Status.PROCESSING)
    dead.files.publish(poison, ".png", lambda path: path.write_bytes(b"of an earlier run"))
    manager = restart(dead)
    view = manager.view(poison.id)
    assert (view.job.status, view.job.error_code) == (Status.FAILED, "interrupted")
    assert "25 times" in view.message
    assert dead.results() == []
    manager.stop()


def test_a_clip_that_was_given_up_can_be_resumed(dead: Bench) -> None:
    clip = leave(dead, attempts=MAX_INTERRUPTIONS, status=Status.PROCESSING, kind=Kind.VIDEO)
    dead.files.keep(clip.id, "segments/0000.mp4", lambda path: path.write_bytes(b"frames"))
    manager = restart(dead)
    view = manager.view(clip.id)
    assert (view.job.error_code, view.resumable) == ("interrupted", True)
    assert "Resume it" in view.message
    assert (dead.files.job_dir(clip.id) / "segments" / "0000.mp4").is_file()
    manager.resume(clip.id)
    done = manager.wait(clip.id, 10).job
    assert (done.status, done.attempts, done.error) == (Status.COMPLETED, 1, None)
    manager.stop()


def test_an_interrupted_clip_keeps_its_segments_whole(dead: Bench) -> None:
    clip = leave(dead, attempts=1, status=Status.PROCESSING, kind=Kind.VIDEO)
    folder = dead.files.job_dir(clip.id)
    dead.files.keep(clip.id, "segments/0000.mp4", lambda path: path.write_bytes(b"frames"))
    (folder / "segments" / ".partial-00.mp4").write_bytes(b"cut off by the kill")
    manager = restart(dead)
    assert manager.wait(clip.id, 10).job.status is Status.COMPLETED
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["0000.mp4"]
    manager.stop()


def test_a_cancel_cut_short_by_a_crash_is_finished(dead: Bench) -> None:
    cancelled = leave(dead, attempts=1, status=Status.CANCELLED)
    dead.files.publish(cancelled, ".png", lambda path: path.write_bytes(b"published just before"))
    dead.files.keep(cancelled.id, "segments/0000.mp4", lambda path: path.write_bytes(b"frames"))
    manager = restart(dead)
    assert manager.view(cancelled.id).job.status is Status.CANCELLED
    assert dead.files.stored_ids() == set()
    assert dead.results() == []
    manager.stop()


def test_an_upload_that_never_became_a_job_is_removed(dead: Bench) -> None:
    job = Job.new(Kind.IMAGE, "denoise", {}, "photo.jpg")
    dead.files.save_upload(job.id, job.filename, io.BytesIO(b"x"))
    manager = restart(dead)
    assert dead.files.stored_ids() == set()
    manager.stop()
