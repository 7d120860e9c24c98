"""Submitting, watching, failing and finishing; cancelling and stopping have files of their own."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.errors import Busy, Cancelled, InvalidInput, NotFound, TooLarge
from hub.jobs.executor import LocalExecutor
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.manager import JobManager, JobView
from hub.jobs.model import Kind, Status

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


def test_a_job_goes_from_upload_to_result(bench: MakeBench) -> None:
    hub = bench()
    job = hub.submit(b"the content")
    assert job.status is Status.PENDING
    view = hub.manager.wait(job.id, 10)
    assert (view.job.status, view.progress, view.message) == (Status.COMPLETED, 100, "Done.")
    assert view.job.result == {"bytes": 11}
    assert view.job.result_path is not None
    assert hub.files.resolve(view.job.result_path).read_bytes() == b"the content"
    assert view.job.started_at is not None
    assert view.job.finished_at is not None
    assert job.created_at <= view.job.started_at <= view.job.finished_at
    assert view.job.attempts == 1


def test_a_running_job_shows_progress_and_a_waiting_one_its_place(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    first, second, third = hub.submit(), hub.submit(), hub.submit()
    assert gate.begun.acquire(timeout=5)
    view = hub.manager.view(first.id)
    assert (view.job.status, view.progress, view.message) == (Status.PROCESSING, 42, "Halfway")
    assert view.eta_seconds is not None
    assert [hub.manager.view(job.id).queue_position for job in (first, second, third)] == [None, 1, 2]
    assert [view.job.id for view in hub.manager.list()] == [third.id, second.id, first.id]
    assert [view.progress for view in hub.manager.list()] == [0, 0, 42]
    gate.go.set()
    for job in (first, second, third):
        assert hub.manager.wait(job.id, 10).job.status is Status.COMPLETED
    assert gate.ran == [first.id, second.id, third.id]


def test_a_kind_has_workers_and_places_of_its_own(bench: MakeBench) -> None:
    gate = Gate()

    def clips_stand_still(context: JobContext) -> Outcome:
        return gate(context) if context.job.kind is Kind.VIDEO else copy_upload(context)

    hub = bench(clips_stand_still, workers=1, queue_limit=2)
    clips = [hub.submit(kind=Kind.VIDEO) for _ in range(2)]
    assert gate.begun.acquire(timeout=5)
    assert hub.manager.view(clips[1].id).queue_position == 1
    photos = [hub.manager.wait(hub.submit().id, 10).job for _ in range(3)]
    assert [photo.status for photo in photos] == [Status.COMPLETED] * 3
    hub.submit(kind=Kind.VIDEO)
    with pytest.raises(Busy) as raised:
        hub.submit()  # The limit is one for all kinds.
    assert raised.value.code == "queue_full"
    assert raised.value.retry_after < 10  # As long as a photo takes here.
    with pytest.raises(Busy) as raised:
        hub.submit(kind=Kind.VIDEO)
    assert raised.value.retry_after == 10
    gate.go.set()
    assert hub.manager.wait(clips[1].id, 10).job.status is Status.COMPLETED


def test_a_running_job_tells_details(bench: MakeBench) -> None:
    told, go = threading.Event(), threading.Event()

    def tell(context: JobContext) -> Outcome:
        context.begin(0.5, "Restoring")
        context.report(0.6, details={"frames_done": 6, "frames_total": 10})
        told.set()
        assert go.wait(10)
        return copy_upload(context)

    hub = bench(tell)
    job = hub.submit(kind=Kind.VIDEO)
    assert told.wait(5)
    view = hub.manager.view(job.id)
    assert (view.progress, view.message) == (60, "Restoring")
    assert view.details == {"frames_done": 6, "frames_total": 10}
    go.set()
    assert hub.manager.wait(job.id, 10).details == {}


def test_unknown_ids_and_ids_of_the_other_kind_are_not_found(bench: MakeBench) -> None:
    hub = bench()
    job = hub.submit()
    assert hub.manager.view(job.id, Kind.IMAGE).job.id == job.id
    with pytest.raises(NotFound):
        hub.manager.view(job.id, Kind.VIDEO)
    for call in (hub.manager.view, hub.manager.cancel, hub.manager.delete, hub.manager.resume):
        with pytest.raises(NotFound):
            call("00000000-0000-4000-8000-000000000000")


def test_a_full_queue_refuses_and_keeps_nothing(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1, queue_limit=2)
    running = hub.submit()
    assert gate.begun.acquire(timeout=5)
    waiting = [hub.submit(), hub.submit()]
    with pytest.raises(Busy) as raised:
        hub.submit()
    assert raised.value.code == "queue_full"
    assert raised.value.retry_after >= 1
    assert hub.files.stored_ids() == {job.id for job in (running, *waiting)}
    hub.manager.cancel(waiting[0].id)
    hub.submit()  # There is room again.


def test_two_submits_for_the_last_place(bench: MakeBench) -> None:
    """Both are let in before their uploads are copied; the table decides."""
    gate = Gate()
    hub = bench(gate, workers=1, queue_limit=1)
    hub.submit()
    assert gate.begun.acquire(timeout=5)
    both = threading.Barrier(2)

    def submit(_: int) -> str:
        try:
            return hub.submit(check=lambda path: both.wait(5)).id
        except Busy as busy:
            return busy.code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(submit, range(2)))
    assert answers.count("queue_full") == 1
    assert len(hub.files.stored_ids()) == 2


def test_a_refused_upload_is_no_job(bench: MakeBench) -> None:
    hub = bench()

    def refuse(path: Path) -> None:
        assert path.read_bytes() == b"content"
        raise InvalidInput("damaged_image", "Not a photo.")

    with pytest.raises(InvalidInput, match="Not a photo"):
        hub.submit(check=refuse)
    with pytest.raises(InvalidInput, match="empty"):
        hub.submit(b"")
    with pytest.raises(TooLarge):
        hub.submit(bytes(1_000_001))
    assert hub.manager.list() == []
    assert hub.files.stored_ids() == set()


def test_a_kind_without_a_handler_is_a_mistake_of_the_caller(bench: MakeBench) -> None:
    hub = bench()
    with pytest.raises(ValueError, match="needs a handler and an executor"):
        JobManager(hub.store, hub.files, {}, {Kind.IMAGE: LocalExecutor(1)}, queue_limit=1)
    photos = JobManager(hub.store, hub.files, {Kind.IMAGE: copy_upload}, {Kind.IMAGE: LocalExecutor(1)}, queue_limit=1)
    with pytest.raises(ValueError, match="no handler for video"):
        photos.submit(Kind.VIDEO, "denoise", {}, "a.mp4", io.BytesIO(b"x"))


def test_a_hub_error_fails_the_job_in_its_own_words(bench: MakeBench) -> None:
    def refuse(context: JobContext) -> Outcome:
        copy_upload(context)
        raise InvalidInput("damaged_image", "The file ends too early \ud800\x00.")

    hub = bench(refuse)
    view = hub.manager.wait(hub.submit().id, 10)
    assert (view.job.status, view.job.error_code, view.progress) == (Status.FAILED, "damaged_image", 50)
    assert view.job.error == view.message == "The file ends too early ? ."
    assert hub.results() == []


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), SystemExit(1), MemoryError()])
def test_any_other_exception_fails_the_job_and_goes_to_the_log(
    bench: MakeBench, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def crash(context: JobContext) -> Outcome:
        raise error

    hub = bench(crash, workers=1)
    view = hub.manager.wait(hub.submit().id, 10)
    assert (view.job.status, view.job.error_code) == (Status.FAILED, "internal_error")
    assert "secret" not in view.message
    assert view.job.id in caplog.text
    assert "Traceback" in caplog.text
    assert type(error).__name__ in caplog.text
    assert hub.manager.wait(hub.submit().id, 10).job.status is Status.FAILED  # The worker lives.


def test_a_handler_that_gives_up_uncancelled_has_failed(bench: MakeBench) -> None:
    def give_up(context: JobContext) -> Outcome:
        raise Cancelled

    hub = bench(give_up)
    assert hub.manager.wait(hub.submit().id, 10).job.status is Status.FAILED


@pytest.mark.parametrize(
    "outcome", [lambda: Outcome("/static_results/nothing.png", {}), lambda: Outcome("/x", {"a": float("nan")})]
)
def test_a_job_is_completed_only_with_a_result_that_can_be_fetched(
    bench: MakeBench, outcome: Callable[[], Outcome]
) -> None:
    hub = bench(lambda context: outcome())
    view = hub.manager.wait(hub.submit().id, 10)
    assert view.job.status is Status.FAILED
    assert view.job.result_path is None


def test_a_job_whose_upload_is_gone_says_so(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    hub.submit()
    assert gate.begun.acquire(timeout=5)
    job = hub.submit()
    hub.files.upload(job.id).unlink()
    gate.go.set()
    view = hub.manager.wait(job.id, 10)
    assert (view.job.status, view.job.error_code) == (Status.FAILED, "upload_missing")


def test_progress_never_goes_back_for_one_who_polls(bench: MakeBench) -> None:
    def count(context: JobContext) -> Outcome:
        for step in range(50):
            context.report(step / 50)
            time.sleep(0.002)
        return copy_upload(context)

    hub = bench(count)
    job = hub.submit()
    views: list[JobView] = []
    while not views or not views[-1].job.status.finished:
        views.append(hub.manager.view(job.id))
    seen = [view.progress for view in views]
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert seen[-1] == 100


def test_wait_gives_up(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate)
    with pytest.raises(TimeoutError, match="still"):
        hub.manager.wait(hub.submit().id, 0.05)
