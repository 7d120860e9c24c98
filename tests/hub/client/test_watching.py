"""Waiting: events, polling where there are none, servers that go and come back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hub.client import (
    AsyncHubClient,
    HubClient,
    NotFoundError,
    TaskCancelled,
    TaskFailed,
    TaskStatus,
    Unreachable,
    WaitTimeout,
    watching,
)
from hub.client import requests as calls
from hub.client.connection import connection

PENDING = {"status": "pending", "progress": 0, "message": "Waiting in the queue.", "queue_position": 2}
RUNNING = {"status": "processing", "progress": 40, "message": "Restoring", "eta_seconds": 3.5}
DONE = {"status": "completed", "progress": 100, "result_path": "/static_results/x.png", "result": {"width": 8}}
CANCELLED = {"status": "cancelled", "message": "Cancelled."}


def test_by_events(connect: Any, scripted: Any, acts: Any) -> None:
    told: list[TaskStatus] = []
    scripted.script = [
        acts.stream("retry: 2000\n\n", acts.event(PENDING), ": still there\n\n", acts.event(RUNNING), acts.event(DONE))
    ]
    status = connect(scripted.address).task("a/1").wait(progress=told.append)
    assert scripted.paths == ["GET /api/tasks/a%2F1/events"]
    assert [state.status for state in told] == ["pending", "processing", "completed"]
    assert told[0].queue_position == 2
    assert told[1].eta_seconds == 3.5
    assert (status.progress, status.details, status.result_path) == (100, {"width": 8}, "/static_results/x.png")


def test_a_broken_stream_goes_on_after_the_last_event(connect: Any, scripted: Any, acts: Any) -> None:
    told: list[TaskStatus] = []
    scripted.script = [
        acts.stream(acts.event(PENDING, 1), acts.event(RUNNING, 2)),
        acts.lose(),
        acts.stream(acts.event(DONE, 3)),
    ]
    connect(scripted.address).task("a").wait(progress=told.append)
    assert [seen.headers.get("Last-Event-ID") for seen in scripted.seen] == [None, "2", "2"]
    assert [state.progress for state in told] == [0, 40, 100]


@pytest.mark.parametrize("what", ["none", "empty", "other"])
def test_by_polling_where_no_events_come(connect: Any, scripted: Any, acts: Any, what: str) -> None:
    told: list[TaskStatus] = []
    first = {
        "none": acts.reply(404, {"code": "not_found", "detail": "There is nothing."}),
        "empty": acts.stream(": hello\n\n"),
        "other": acts.reply(200, b"<html>", Content_Type="text/html"),
    }[what]
    states = [PENDING, PENDING, RUNNING, DONE]
    scripted.script = [first, *(acts.reply(200, {**state, "task_id": "a"}) for state in states)]
    connect(scripted.address).task("a").wait(progress=told.append)
    assert scripted.paths[1:] == ["GET /api/tasks/a"] * 4
    assert [state.status for state in told] == ["pending", "processing", "completed"]


def test_events_held_back_on_the_way(connect: Any, scripted: Any, acts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_SILENT_SECONDS", 0.1)
    scripted.script = [acts.stream(": x\n\n", ": x\n\n", seconds=0.4), acts.reply(200, DONE)]
    connect(scripted.address).task("a").wait()
    assert scripted.paths[-1] == "GET /api/tasks/a"


def test_a_task_that_is_not_there(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(404, {"code": "task_not_found", "detail": "There is no task 'a'."})] * 2
    with pytest.raises(NotFoundError, match="There is no task 'a'"):
        connect(scripted.address).task("a").wait()


def test_a_task_that_failed_or_was_cancelled(connect: Any, scripted: Any, acts: Any) -> None:
    failed = {"status": "failed", "error": "Damaged.", "code": "damaged_video", "resumable": True}
    scripted.script = [acts.stream(acts.event(failed)), acts.stream(acts.event(CANCELLED))]
    hub = connect(scripted.address)
    with pytest.raises(TaskFailed, match="Damaged") as caught:
        hub.task("a").wait()
    assert (caught.value.task_id, caught.value.code, caught.value.resumable) == ("a", "damaged_video", True)
    with pytest.raises(TaskCancelled, match="was cancelled"):
        hub.task("a").wait()


def test_a_limited_time(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.reply(200, RUNNING) for _ in range(100)]
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"within 0\.3 seconds"):
        connect(scripted.address).task("a").wait(timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    with pytest.raises(TimeoutError):
        connect(scripted.address).task("a").wait(timeout=0)


def test_a_limited_time_while_the_server_is_away_or_busy(connect: Any, scripted: Any, acts: Any) -> None:
    """The time that the caller allowed counts, and not the patience with servers, which is longer."""
    hub = connect(scripted.address, patience=60)
    busy = acts.reply(503, {"code": "database_unavailable", "detail": "Away."}, Retry_After="30")
    for answer in (acts.lose(), busy):
        scripted.script = [answer] * 1000
        began = time.monotonic()
        with pytest.raises(WaitTimeout) as caught:
            hub.task("a").wait(timeout=0.3)
        assert time.monotonic() - began < 5
        assert caught.value.task_id == "a"


def test_waits_do_not_starve_other_calls() -> None:
    """Each holds a connection for its events, however many there are."""
    assert connection("http://127.0.0.1:8000", None, 60)["limits"].max_connections is None


def test_a_server_that_stays_away(connect: Any, scripted: Any, acts: Any) -> None:
    scripted.script = [acts.stream(acts.event(RUNNING)), *[acts.lose() for _ in range(1000)]]
    with pytest.raises(Unreachable):
        connect(scripted.address, patience=0.3).task("a").wait()


def test_what_the_callers_function_raises_is_theirs(connect: Any, scripted: Any, acts: Any) -> None:
    def raising(_: TaskStatus) -> None:
        raise ConnectionResetError("mine")

    scripted.script = [acts.stream(acts.event(RUNNING))]
    with pytest.raises(ConnectionResetError, match="mine"):
        connect(scripted.address).task("a").wait(progress=raising)
    assert len(scripted.seen) == 1


@pytest.mark.parametrize("cancel", [False, True])
def test_ctrl_c(scripted: Any, acts: Any, cancel: bool) -> None:
    def interrupt(_: TaskStatus) -> None:
        raise KeyboardInterrupt

    scripted.script = [acts.stream(acts.event(RUNNING)), acts.reply(200, CANCELLED)]
    with HubClient(scripted.address) as hub, pytest.raises(KeyboardInterrupt):
        hub.task("a").wait(progress=interrupt, cancel_on_interrupt=cancel)
    assert scripted.paths[1:] == (["POST /api/tasks/a/cancel"] if cancel else [])


@pytest.mark.parametrize("cancel", [False, True])
def test_a_cancelled_coroutine(scripted: Any, acts: Any, cancel: bool) -> None:
    async def wait() -> None:
        async def told(_: TaskStatus) -> None:
            waiting.cancel()

        async with AsyncHubClient(scripted.address) as hub:
            waiting = asyncio.create_task(hub.task("a").wait(progress=told, cancel_on_interrupt=cancel))
            with pytest.raises(asyncio.CancelledError):
                await waiting

    scripted.script = [acts.stream(acts.event(RUNNING), seconds=0.2), acts.reply(200, CANCELLED)]
    asyncio.run(wait())
    assert scripted.paths[1:] == (["POST /api/tasks/a/cancel"] if cancel else [])


def test_polls_are_two_seconds_apart() -> None:
    assert watching.POLL_SECONDS == 2
