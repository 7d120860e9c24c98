"""A failed clip taken up again: once, with what it has kept, and nothing else."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from hub.errors import Busy, Conflict, HubError, NotFound
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.manager import JobView
from hub.jobs.model import Job, Kind, Status

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


class Flaky:
    """A handler that keeps one segment a run, and fails until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.found: list[int] = []

    def __call__(self, context: JobContext) -> Outcome:
        finished = len(list(context.workdir.glob("segments/*.mp4")))
        self.found.append(finished)
        context.report(0.5)
        context.keep(f"segments/{finished:04}.mp4", lambda path: path.write_bytes(b"frames"))
        if not self.mended:
            raise HubError("disk_full", "The disk is full.")
        return copy_upload(context)


def fail(hub: Bench, kind: Kind = Kind.VIDEO) -> str:
    """A job that has failed."""
    job_id = hub.submit(kind=kind).id
    assert hub.manager.wait(job_id, 10).job.status is Status.FAILED
    return job_id


def refusal(hub: Bench, job_id: str) -> str:
    with pytest.raises(Conflict) as raised:
        hub.manager.resume(job_id)
    assert raised.value.code == "not_resumable"
    assert raised.value.data == {"task_status": hub.manager.view(job_id).job.status.value}
    assert not hub.manager.view(job_id).resumable
    return raised.value.message


def test_a_resumed_clip_goes_on_from_what_it_has(bench: MakeBench) -> None:
    flaky = Flaky()
    hub = bench(flaky)
    job_id = fail(hub)
    failed = hub.manager.view(job_id)
    assert (failed.resumable, failed.progress, failed.message) == (True, 50, "The disk is full.")

    hub.manager.resume(job_id)
    assert hub.manager.wait(job_id, 10).job.status is Status.FAILED
    flaky.mended = True
    hub.manager.resume(job_id)
    done = hub.manager.wait(job_id, 10)

    assert flaky.found == [0, 1, 2]
    assert (done.job.status, done.job.attempts, done.job.error, done.job.error_code) == (
        Status.COMPLETED,
        1,
        None,
        None,
    )
    assert not done.resumable


def test_it_waits_behind_the_others(bench: MakeBench) -> None:
    gate, flaky = Gate(), Flaky()
    hub = bench(lambda context: gate(context) if flaky.found else flaky(context), workers=1)
    job_id = fail(hub)
    running, waiting = hub.submit(kind=Kind.VIDEO), hub.submit(kind=Kind.VIDEO)
    assert gate.begun.acquire(timeout=5)

    view = hub.manager.resume(job_id)

    assert (view.job.status, view.progress, view.queue_position) == (Status.PENDING, 0, 2)
    assert (view.message, view.job.finished_at, view.job.attempts) == ("Waiting in the queue.", None, 0)
    gate.go.set()
    assert hub.manager.wait(job_id, 10).job.status is Status.COMPLETED
    assert gate.ran == [running.id, waiting.id, job_id]


def test_it_survives_a_restart_while_it_waits(bench: MakeBench) -> None:
    gate, flaky = Gate(), Flaky()
    hub = bench(lambda context: gate(context) if flaky.found else flaky(context), workers=1)
    job_id = fail(hub)
    hub.submit(kind=Kind.VIDEO)
    assert gate.begun.acquire(timeout=5)
    hub.manager.resume(job_id)
    hub.manager.stop(5)
    with pytest.raises(Busy) as raised:
        hub.manager.resume(job_id)
    assert raised.value.code == "not_accepting"
    assert bench().manager.wait(job_id, 10).job.status is Status.COMPLETED


def test_what_cannot_be_resumed_is_told_what_would_be_right(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    running, waiting, cancelled = (hub.submit(kind=Kind.VIDEO).id for _ in range(3))
    assert gate.begun.acquire(timeout=5)
    hub.manager.cancel(cancelled)
    assert "is running" in refusal(hub, running)
    assert "waiting in the queue" in refusal(hub, waiting)
    assert "send the file again" in refusal(hub, cancelled)
    gate.go.set()
    hub.manager.wait(running, 10)
    assert "completed" in refusal(hub, running)


def test_photos_and_jobs_without_upload_are_sent_again(bench: MakeBench) -> None:
    hub = bench(Flaky())
    assert "send the image again" in refusal(hub, fail(hub, Kind.IMAGE))
    clip = fail(hub)
    hub.files.upload(clip).unlink()
    assert "no longer on the server" in refusal(hub, clip)


def test_a_full_queue_refuses_and_leaves_the_job_failed(bench: MakeBench) -> None:
    gate, flaky = Gate(), Flaky()
    hub = bench(lambda context: gate(context) if flaky.found else flaky(context), workers=1, queue_limit=1)
    job_id = fail(hub)
    before = hub.manager.view(job_id)
    hub.submit()
    assert gate.begun.acquire(timeout=5)
    hub.submit()
    with pytest.raises(Busy) as raised:
        hub.manager.resume(job_id)
    assert raised.value.code == "queue_full"
    assert hub.manager.view(job_id) == before


def test_a_failed_clip_stays_failed_when_cancelled_and_goes_when_deleted(bench: MakeBench) -> None:
    hub = bench(Flaky())
    job_id = fail(hub)
    assert hub.manager.cancel(job_id) == hub.manager.view(job_id)
    assert hub.manager.view(job_id).resumable
    hub.manager.delete(job_id)
    assert hub.files.stored_ids() == set()
    with pytest.raises(NotFound):
        hub.manager.resume(job_id)


def test_of_many_resumes_one_wins(bench: MakeBench) -> None:
    gate, flaky = Gate(), Flaky()
    hub = bench(lambda context: gate(context) if flaky.found else flaky(context))
    job_id = fail(hub)
    together = threading.Barrier(8)

    def resume(_: int) -> JobView | str:
        together.wait(5)
        try:
            return hub.manager.resume(job_id)
        except Conflict as conflict:
            return conflict.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(resume, range(8)))
    assert answers.count("not_resumable") == 7
    gate.go.set()
    assert hub.manager.wait(job_id, 10).job.status is Status.COMPLETED
    assert gate.ran == [job_id]


class SlowEnd:
    """An observer that lets runs end slowly, and counts how many there are at once."""

    def __init__(self) -> None:
        self.runs = self.most = 0
        self.ending = threading.Event()

    def began(self, job: Job, waited: float) -> None:
        self.runs += 1
        self.most = max(self.most, self.runs)

    def ended(self, job: Job, status: Status, seconds: float) -> None:
        self.ending.set()
        time.sleep(0.2)
        self.runs -= 1


def test_runs_of_one_job_never_meet(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two who resume, one is slow: meanwhile the other's run would begin, fail and be about to end."""
    slow = SlowEnd()
    hub = bench(Flaky(), observer=slow)
    job_id = fail(hub)
    slow.ending.clear()
    await_end = hub.manager._runs.await_end

    with ThreadPoolExecutor(1) as pool:

        def then_be_slow(job_id: str, timeout: float) -> None:
            await_end(job_id, timeout)
            monkeypatch.setattr(hub.manager._runs, "await_end", await_end)
            pool.submit(hub.manager.resume, job_id)
            slow.ending.wait(0.3)

        monkeypatch.setattr(hub.manager._runs, "await_end", then_be_slow)
        with suppress(Conflict):
            hub.manager.resume(job_id)
    hub.manager.wait(job_id, 10)
    assert slow.most == 1


def test_resumes_that_race_with_deletes(bench: MakeBench) -> None:
    """Whoever is first, the job is gone in the end, with its files, and no run of it is left."""
    hub = bench(Flaky())
    chance = random.Random(3)  # noqa: S311 - chance, not secrecy
    ends = {True: 0, False: 0}

    def resume(job_id: str, delay: float) -> bool:
        threading.Event().wait(delay)
        try:
            hub.manager.resume(job_id)
        except (NotFound, Conflict):  # Conflict: its files are going.
            return False
        return True

    while sum(ends.values()) < 20 or not all(ends.values()):
        assert sum(ends.values()) < 500, ends
        job_id = fail(hub)
        with ThreadPoolExecutor(2) as pool:
            answer = pool.submit(resume, job_id, chance.uniform(0, 0.004))
            threading.Event().wait(chance.uniform(0, 0.004))
            hub.manager.delete(job_id)
            ends[answer.result(10)] += 1
        with pytest.raises(NotFound):
            hub.manager.view(job_id)
        assert hub.files.stored_ids() == set()
    assert hub.results() == []
