from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.errors import Busy, Cancelled, Conflict
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Kind, Status

from .bench import Bench, Gate, copy_upload

MakeBench = Callable[..., Bench]


def test_stop_puts_running_jobs_back_and_the_next_start_runs_them(bench: MakeBench) -> None:
    gate = Gate()
    hub = bench(gate, workers=1)
    running, waiting = hub.submit(b"first"), hub.submit(b"second")
    assert gate.begun.acquire(timeout=5)
    hub.manager.stop(5)
    hub.manager.stop(5)
    for job in (running, waiting):
        view = hub.manager.view(job.id)
        assert (view.job.status, view.progress, view.job.attempts) == (Status.PENDING, 0, 0)
    with pytest.raises(Busy, match="stopping"):
        hub.submit()
    assert gate.ran == [running.id]

    again = bench()
    for job, content in ((running, b"first"), (waiting, b"second")):
        view = again.manager.wait(job.id, 10)
        assert view.job.status is Status.COMPLETED
        assert view.job.result_path is not None
        assert again.files.resolve(view.job.result_path).read_bytes() == content
    assert len(again.results()) == 2


def test_stop_keeps_what_a_clip_has_finished(bench: MakeBench) -> None:
    """Each run finishes one segment more; the second begins where the first was stopped."""
    written, go = threading.Event(), threading.Event()
    found: list[list[str]] = []

    def by_segments(context: JobContext) -> Outcome:
        folder = context.workdir / "segments"
        found.append(sorted(path.name for path in folder.glob("*")))
        context.keep(f"segments/{len(found[-1]):04}.mp4", lambda path: path.write_bytes(b"frames"))
        written.set()
        while not go.wait(0.01):
            context.check_cancelled()
        return copy_upload(context)

    hub = bench(by_segments)
    job = hub.submit(kind=Kind.VIDEO)
    assert written.wait(5)
    hub.manager.stop(5)
    view = hub.manager.view(job.id)
    assert (view.job.status, view.progress, view.job.attempts) == (Status.PENDING, 0, 0)

    go.set()
    assert bench(by_segments).manager.wait(job.id, 10).job.status is Status.COMPLETED
    assert found == [[], ["0000.mp4"]]


def test_stop_of_several_kinds_takes_no_longer_than_it_may(bench: MakeBench) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def deaf(context: JobContext) -> Outcome:
        begun.release()
        assert go.wait(10)
        raise Cancelled

    hub = bench(deaf)
    for kind in (Kind.IMAGE, Kind.VIDEO):
        hub.submit(kind=kind)
        assert begun.acquire(timeout=5)
    start = time.monotonic()
    hub.manager.stop(1)
    assert time.monotonic() - start < 1.9
    go.set()


def test_stop_leaves_a_deaf_handler_behind(bench: MakeBench) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def deaf(context: JobContext) -> Outcome:
        begun.set()
        assert go.wait(10)
        try:
            return copy_upload(context)
        finally:
            ended.set()

    hub = bench(deaf)
    job = hub.submit()
    assert begun.wait(5)
    hub.manager.stop(0.1)
    assert hub.manager.view(job.id).job.status is Status.PENDING
    go.set()
    assert ended.wait(5)
    while hub.manager._runs.get(job.id) is not None:  # Its process would be gone before the next hub starts.
        time.sleep(0.01)
    assert hub.manager.view(job.id).job.status is Status.PENDING
    assert hub.results() == []
    assert bench().manager.wait(job.id, 10).job.status is Status.COMPLETED


def test_cancel_while_stopping_wins(bench: MakeBench) -> None:
    begun, go = threading.Event(), threading.Event()

    def deaf(context: JobContext) -> Outcome:
        begun.set()
        assert go.wait(10)
        raise Cancelled

    hub = bench(deaf)
    job = hub.submit()
    assert begun.wait(5)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(hub.manager.stop, 5)
        time.sleep(0.05)
        hub.manager.cancel(job.id)
        go.set()
        stopping.result(10)
    assert hub.manager.view(job.id).job.status is Status.CANCELLED
    assert hub.files.stored_ids() == set()


def test_nothing_is_accepted_before_the_start(tmp_path: Path) -> None:
    hub = Bench(tmp_path, copy_upload)
    with pytest.raises(Busy) as raised:
        hub.submit()
    assert raised.value.code == "not_accepting"
    hub.manager.stop()
    hub.store.close()


def test_two_hubs_on_one_folder_do_not_disturb_each_other(
    bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    hub = bench(gate)
    job = hub.submit()
    assert gate.begun.acquire(timeout=5)
    second = Bench(tmp_path, copy_upload)
    claim = second.files.claim
    monkeypatch.setattr(second.files, "claim", lambda: claim(timeout=0.05))
    with pytest.raises(Conflict, match="Another hub is running"):
        second.manager.start()
    second.store.close()
    assert hub.manager.view(job.id).job.status is Status.PROCESSING
    gate.go.set()
    assert hub.manager.wait(job.id, 10).job.status is Status.COMPLETED


def test_a_database_that_is_away_for_a_while_loses_nothing(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hub.jobs.patience.RETRY_SECONDS", 0.01)
    gate = Gate()
    hub = bench(gate)
    job = hub.submit()
    assert gate.begun.acquire(timeout=5)
    transition, calls = hub.store.transition, []

    def flaky(*args: object, **changes: object) -> object:
        calls.append(args)
        if len(calls) < 4:
            raise Busy("database_unavailable", "away")
        return transition(*args, **changes)  # type: ignore[arg-type]

    monkeypatch.setattr(hub.store, "transition", flaky)
    gate.go.set()
    assert hub.manager.wait(job.id, 10).job.status is Status.COMPLETED
    assert len(calls) == 4
    assert "does not answer" in caplog.text
