from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

from hub.errors import NotFound
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Kind, Status

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


def test_cancel_while_pending(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    running, waiting = hub.submit(), hub.submit()
    assert gate.begun.acquire(timeout=5)
    for _ in range(2):  # Idempotent.
        view = hub.manager.cancel(waiting.id)
        assert (view.job.status, view.message) == (Status.CANCELLED, "Cancelled.")
    assert hub.files.stored_ids() == {running.id}
    gate.go.set()
    assert hub.manager.wait(running.id, 10).job.status is Status.COMPLETED
    assert gate.ran == [running.id]


def test_cancel_while_running(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate)
    job = hub.submit()
    assert gate.begun.acquire(timeout=5)
    begun = time.monotonic()
    view = hub.manager.cancel(job.id)
    assert (view.job.status, view.progress) == (Status.CANCELLED, 42)
    assert hub.manager.wait(job.id, 10) == view == hub.manager.cancel(job.id)
    assert time.monotonic() - begun < 2
    assert hub.files.stored_ids() == set()
    assert hub.results() == []


def test_cancelling_a_clip_keeps_nothing(bench: MakeBench) -> None:
    written = threading.Event()

    def by_segments(context: JobContext) -> Outcome:
        for number in range(3):
            context.keep(f"segments/{number:04}.mp4", lambda path: path.write_bytes(b"frames"))
        context.publish(".mp4", lambda path: path.write_bytes(b"joined"))
        written.set()
        while True:
            context.check_cancelled()
            time.sleep(0.01)

    hub = bench(by_segments)
    job = hub.submit(kind=Kind.VIDEO)
    assert written.wait(5)
    hub.manager.cancel(job.id)
    assert hub.manager.wait(job.id, 5).job.status is Status.CANCELLED
    assert hub.files.stored_ids() == set()
    assert hub.results() == []
    assert list((hub.folder / "data" / "jobs").iterdir()) == []


def test_a_handler_deaf_to_cancelling_cannot_publish(bench: MakeBench) -> None:
    begun, go = threading.Event(), threading.Event()

    def deaf(context: JobContext) -> Outcome:
        begun.set()
        assert go.wait(5)
        return copy_upload(context)

    hub = bench(deaf)
    job = hub.submit()
    assert begun.wait(5)
    hub.manager.cancel(job.id)
    go.set()
    assert hub.manager.wait(job.id, 10).job.status is Status.CANCELLED
    assert hub.results() == []


def test_cancel_between_publishing_and_finishing(bench: MakeBench) -> None:
    published, go = threading.Event(), threading.Event()

    def slow_to_return(context: JobContext) -> Outcome:
        outcome = copy_upload(context)
        published.set()
        assert go.wait(5)
        return outcome

    hub = bench(slow_to_return)
    job = hub.submit()
    assert published.wait(5)
    assert len(hub.results()) == 1
    hub.manager.cancel(job.id)
    go.set()
    view = hub.manager.wait(job.id, 10)
    assert (view.job.status, view.job.result_path) == (Status.CANCELLED, None)
    assert hub.results() == []
    assert hub.files.stored_ids() == set()


def test_a_finished_job_stays_finished(bench: MakeBench) -> None:
    hub = bench()
    job = hub.submit()
    done = hub.manager.wait(job.id, 10)
    assert hub.manager.cancel(job.id) == done
    assert done.job.result_path is not None
    assert hub.files.resolve(done.job.result_path).is_file()


def test_cancels_that_race_with_the_finish(bench: MakeBench) -> None:
    """Whoever wins, the row, the files and every answer agree."""
    hub = bench(workers=2, queue_limit=1000)
    chance = random.Random(1)  # noqa: S311 - chance, not secrecy
    begun = time.monotonic()
    hub.manager.delete(hub.manager.wait(hub.submit().id, 10).job.id)
    usual = time.monotonic() - begun
    ends = {Status.COMPLETED: 0, Status.CANCELLED: 0}
    while sum(ends.values()) < 60 or not all(ends.values()):
        assert sum(ends.values()) < 1000, ends
        job = hub.submit()
        time.sleep(chance.uniform(0, usual))
        answer = hub.manager.cancel(job.id).job.status
        view = hub.manager.wait(job.id, 10)
        assert view.job.status is answer
        ends[answer] += 1
        # However fast the machine is just now, about half of the cancels come to lie before the end, half behind it.
        usual *= 0.9 if answer is Status.COMPLETED else 1.1
        if answer is Status.COMPLETED:
            assert view.job.result_path is not None
            assert hub.files.resolve(view.job.result_path).read_bytes() == b"content"
        else:
            assert job.id not in hub.files.stored_ids()
    assert len(hub.results()) == ends[Status.COMPLETED]


def test_delete_while_running_leaves_nothing(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate)
    job = hub.submit()
    assert gate.begun.acquire(timeout=5)
    hub.manager.delete(job.id)
    with pytest.raises(NotFound):
        hub.manager.view(job.id)
    assert hub.files.stored_ids() == set()


def test_delete_of_a_completed_job_takes_its_result(bench: MakeBench) -> None:
    hub = bench()
    job = hub.submit()
    hub.manager.wait(job.id, 10)
    hub.manager.delete(job.id)
    assert hub.results() == []
    assert hub.files.stored_ids() == set()
