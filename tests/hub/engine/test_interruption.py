"""Batches that give way to more urgent ones in the middle; the backend is held, so that each step can be seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from hub.engine import Engine, EngineStopped, Priority
from hub.engine.models import ModelPool
from hub.errors import Cancelled
from uformer.backends import OutOfMemory

LIVE, IMAGE, VIDEO = Priority
Start = Callable[..., Future[list[int]]]


@pytest.fixture
def begin(engine: Engine, backend: Any, in_thread: Any, wait_until: Any) -> Start:
    """Starts a session; returns once the first one runs, or a tile of a later one waits."""
    backend.largest = 1
    backend.pieces = 3
    backend.hold()

    def restore(numbers: Iterable[int], priority: Priority, model: str, options: dict[str, Any]) -> list[int]:
        with engine.session(model, priority, **options) as session:
            source = (np.full((8, 8, 3), number, np.uint8) for number in numbers)
            return [int(result.flat[0]) for result in session.map(source)]

    def begin_one(numbers: Iterable[int], priority: Priority, *, model: str = "m", **options: Any) -> Future[list[int]]:
        before, ran = engine.status().queued[priority], len(backend.ran)
        future: Future[list[int]] = in_thread(lambda: restore(numbers, priority, model, options))
        wait_until(lambda: engine.status().queued[priority] > before if ran else backend.running)
        return future

    return begin_one


def test_the_more_urgent_run_inside(engine: Engine, backend: Any, begin: Start, wait_until: Any) -> None:
    video = begin([1], VIDEO)
    photo = begin([2], IMAGE)
    backend.let(1)
    wait_until(lambda: backend.ran == [[1], [2]])
    live = begin([3], LIVE)
    backend.let(1)
    wait_until(lambda: backend.ran == [[1], [2], [3]])
    backend.let(3)
    assert live.result(60) == [3]
    assert not photo.done()
    backend.let(2)
    assert photo.result(60) == [2]
    assert not video.done()
    backend.free()
    assert video.result(60) == [1]
    assert len(backend.threads) == 1


def test_the_equally_urgent_do_not(backend: Any, begin: Start, wait_until: Any) -> None:
    first = begin([1], IMAGE)
    second, later = begin([2], IMAGE), begin([3], VIDEO)
    backend.free()
    assert [first.result(60), second.result(60), later.result(60)] == [[1], [2], [3]]
    assert backend.ran == [[1], [2], [3]]


def test_no_time_counts_twice(engine: Engine, backend: Any, begin: Start) -> None:
    backend.tile_ms = 30.0
    video = begin([1], VIDEO)
    photo = begin([2], IMAGE)
    live = begin([3], LIVE)
    backend.free()
    assert [future.result(60) for future in (video, photo, live)] == [[1], [2], [3]]
    status = engine.status()
    assert status.busy_seconds == pytest.approx(0.09)
    assert (status.batches, status.tiles, status.mean_batch_fill) == (3, 3, 1.0)


def test_the_time_of_a_batch_is_its_own(engine: Engine, backend: Any, begin: Start) -> None:
    """Else interrupted tiles would seem dear, and their batches shrink."""
    backend.tile_ms = 90.0
    futures = [begin(range(6), VIDEO), begin([8, 9], LIVE)]
    backend.free()
    for future in futures:
        future.result(60)
    sizer = engine._dispatcher._sizer
    assert [sizer.tile_ms(kind) for kind in sizer._per_tile_ms] == [pytest.approx(90)]


def test_live_clients_that_never_rest_leave_a_fifth(engine: Engine, backend: Any, begin: Start, clock: Any) -> None:
    backend.tile_ms, backend.pieces = 120.0, 12
    video = begin(range(10), VIDEO)
    clients = [begin(range(20, 60), LIVE) for _ in range(3)]
    backend.free()
    assert video.result(60) == list(range(10))
    for client in clients:
        assert client.result(60) == list(range(20, 60))
    served = [number for batch in backend.ran for number in batch]
    before = served[: served.index(9)]
    share = sum(number < 10 for number in before) / len(before)
    assert 0.1 <= share <= 0.3


def test_the_failure_of_one_inside_is_its_own(engine: Engine, backend: Any, begin: Start) -> None:
    backend.broken[3] = RuntimeError("bad tile")
    video = begin([1], VIDEO)
    live = begin([3], LIVE)
    backend.free()
    with pytest.raises(RuntimeError, match="bad tile"):
        live.result(60)
    assert video.result(60) == [1]
    assert engine.status().running


def test_what_does_not_fit_inside_is_tried_again_alone(
    engine: Engine, backend: Any, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth, run = [0], backend.run

    def cramped(batch: Any, between: Any, **options: Any) -> Any:
        depth[0] += 1
        try:
            outputs = run(batch, between, **options)
            if depth[0] > 1:
                raise OutOfMemory("no room beside another")
            return outputs
        finally:
            depth[0] -= 1

    monkeypatch.setattr(backend, "run", cramped)
    video, live = begin([1], VIDEO), begin([3], LIVE)
    backend.free()
    assert live.result(60) == [3]
    assert video.result(60) == [1]
    assert backend.ran == [[1], [3], [3]]
    assert engine.status().out_of_memory == 1


def test_what_never_fits_is_its_sessions_affair(backend: Any, begin: Start) -> None:
    backend.broken[3] = OutOfMemory("too big")
    video, live = begin([1], VIDEO), begin([3], LIVE)
    backend.free()
    with pytest.raises(OutOfMemory, match="too big"):
        live.result(60)
    assert video.result(60) == [1]
    assert backend.ran == [[1], [3], [3]]


def test_an_error_of_the_engine_inside_spoils_nothing_outside(
    engine: Engine, backend: Any, begin: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    video = begin([1], VIDEO)
    live = begin([3], LIVE, model="other")
    pin = ModelPool.pin

    def fail(pool: ModelPool, name: str) -> Any:
        if name == "other":
            raise KeyError(name)
        return pin(pool, name)

    monkeypatch.setattr(ModelPool, "pin", fail)
    backend.free()
    assert video.result(60) == [1]
    with pytest.raises(KeyError):
        live.result(60)
    assert "while a batch was interrupted" in caplog.text
    monkeypatch.undo()
    with engine.session("m", IMAGE) as session:
        assert len(list(session.map([np.zeros((8, 8, 3), np.uint8)]))) == 1


def test_stopping_lets_all_that_has_begun_end(
    engine: Engine, backend: Any, begin: Start, in_thread: Any, wait_until: Any
) -> None:
    video, photo = begin([1], VIDEO), begin([2], IMAGE)
    backend.let(1)
    wait_until(lambda: backend.ran == [[1], [2]])
    live = begin([3], LIVE)
    stopping = in_thread(engine.stop)
    wait_until(lambda: not engine.status().running)
    backend.free()
    stopping.result(60)
    assert [video.result(60), photo.result(60)] == [[1], [2]]
    with pytest.raises(EngineStopped):
        live.result(60)
    assert backend.ran == [[1], [2]]
    assert backend.closed
    assert not backend.closed_while_running


def test_a_cancelled_batch_that_has_begun_ends_without_harm(backend: Any, begin: Start, wait_until: Any) -> None:
    stop = threading.Event()
    video = begin([1, 4], VIDEO, cancelled=stop.is_set)
    live = begin([3], LIVE)
    backend.let(1)
    wait_until(lambda: backend.ran == [[1], [3]])
    stop.set()
    backend.free()
    assert live.result(60) == [3]
    with pytest.raises(Cancelled):
        video.result(60)
    assert [4] not in backend.ran


def test_both_models_stay_while_one_interrupts_the_other(
    engine: Engine, backend: Any, begin: Start, wait_until: Any
) -> None:
    video, live = begin([1], VIDEO), begin([3], LIVE, model="other")
    backend.let(1)
    wait_until(lambda: backend.ran == [[1], [3]])
    assert engine.unload_models(["m", "other"]) == ([], ["m", "other"])
    backend.free()
    assert [video.result(60), live.result(60)] == [[1], [3]]
