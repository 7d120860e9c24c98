from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from hub.jobs.executor import LocalExecutor


def test_calls_run_in_order_on_one_worker() -> None:
    executor = LocalExecutor(1)
    done: list[int] = []
    for number in range(20):
        executor.submit(partial(done.append, number))
    finished = threading.Event()
    executor.submit(finished.set)
    assert finished.wait(5)
    assert done == list(range(20))
    executor.shutdown(5)


def test_no_more_run_at_once_than_there_are_workers() -> None:
    executor = LocalExecutor(3)
    everyone = threading.Barrier(4)
    running: list[int] = []

    def meet(number: int) -> None:
        running.append(number)
        everyone.wait(5)

    for number in range(6):
        executor.submit(partial(meet, number))
    deadline = time.monotonic() + 5
    while len(running) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(running) == 3
    everyone.wait(5)
    everyone.wait(5)
    assert sorted(running) == list(range(6))
    executor.shutdown(5)


def test_a_worker_outlives_what_a_call_throws(caplog: pytest.LogCaptureFixture) -> None:
    executor = LocalExecutor(1)

    def leave() -> None:
        raise SystemExit(3)

    finished = threading.Event()
    executor.submit(leave)
    executor.submit(finished.set)
    assert finished.wait(5)
    assert "SystemExit" in caplog.text
    executor.shutdown(5)


def test_shutdown_drops_what_waits_and_gives_up_on_what_hangs() -> None:
    executor = LocalExecutor(1)
    begun, release, dropped = threading.Event(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(10)

    executor.submit(hang)
    executor.submit(dropped.set)
    assert begun.wait(5)
    start = time.monotonic()
    executor.shutdown(0.1)
    assert time.monotonic() - start < 2
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(dropped.set)
    release.set()
    assert not dropped.wait(0.1)


def test_an_executor_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="at least one"):
        LocalExecutor(0)


def test_a_system_without_threads_is_met_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        LocalExecutor(1)
