"""Clean-ups that come by themselves, meet errors and each other, and end when the hub stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from hub.errors import Busy, NotFound
from hub.jobs.model import Job, Kind, Status
from hub.lifecycle import Cleared, Lifecycle

from .jobs.bench import TERMS, Bench

BOTH = (Kind.IMAGE, Kind.VIDEO)


@pytest.fixture
def hub(bench: Callable[..., Bench]) -> Bench:
    return bench()


def cleaning(hub: Bench, seconds: float = 0.02) -> Lifecycle:
    return Lifecycle(hub.store, hub.files, hub.manager, replace(TERMS, clean_up=seconds))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_automatic_clean_up_goes_on_after_errors(
    hub: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job, kept = hub.done(), hub.done()
    hub.pass_time(3601)
    hub.lifecycle.heartbeat(kept.id)
    failures: list[int] = []

    def away() -> dict[tuple[Kind, Status], int]:
        failures.append(1)
        if len(failures) < 3:
            raise Busy("database_unavailable", "Away.")
        raise RuntimeError("a defect")

    monkeypatch.setattr(hub.store, "counts", away)
    lifecycle = cleaning(hub)
    lifecycle.start()
    until(lambda: len(failures) > 4)
    assert hub.store.get(job.id) == replace(job, finished_at=hub.store.get(job.id).finished_at)
    monkeypatch.undo()
    until(lambda: len(hub.results()) == 1)
    lifecycle.stop()
    assert hub.files.resolve(kept.result_path or "").exists()
    with pytest.raises(NotFound):
        hub.store.get(job.id)
    assert "a defect" in caplog.text


def test_files_that_cannot_be_deleted_stop_nobody(
    hub: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [hub.done() for _ in range(3)]
    hub.pass_time(3601)
    delete = hub.files.delete

    def fail(job: Job) -> None:
        if job.id == jobs[1].id:
            raise PermissionError("not yours")
        delete(job)

    monkeypatch.setattr(hub.files, "delete", fail)
    assert hub.lifecycle.clear(BOTH) == Cleared(3, 0, 0)  # What is left of the second is an orphan now.
    assert "not yours" in caplog.text
    assert hub.results() == []


def test_two_clean_ups_never_meet(hub: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        hub.done()
    hub.pass_time(3601)
    inside, most, collect = [0], [0], hub.manager.collect

    def watched(job: Job) -> bool:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return collect(job)

    monkeypatch.setattr(hub.manager, "collect", watched)
    cleared: list[int] = []
    threads = [
        threading.Thread(target=lambda: cleared.append(hub.lifecycle.clear(BOTH).cleared_count)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert sorted(cleared) == [0, 0, 5]


def cleaners() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "clean-up"}


def test_without_automatic_clean_up_there_is_none(hub: Bench) -> None:
    before = cleaners()
    hub.lifecycle.start()
    assert cleaners() == before
    hub.lifecycle.stop()


def test_stopping_ends_the_clean_up_soon(hub: Bench) -> None:
    lifecycle = cleaning(hub, seconds=3600)
    before = cleaners()  # Another test of this process may keep a hub open.
    lifecycle.start()
    assert len(cleaners() - before) == 1
    begun = time.monotonic()
    lifecycle.stop()
    assert time.monotonic() - begun < 2
    assert cleaners() == before


def test_a_clean_up_that_takes_long_holds_up_no_stop(hub: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slowly(job: Job) -> bool:
        inside.set()
        return not go_on.wait(20)

    monkeypatch.setattr(hub.manager, "collect", slowly)
    hub.done()
    hub.pass_time(1e6)
    lifecycle = cleaning(hub)
    lifecycle.start()
    assert inside.wait(5)
    begun = time.monotonic()
    lifecycle.stop()
    assert time.monotonic() - begun < 2
    go_on.set()
    lifecycle.stop()
