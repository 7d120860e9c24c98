"""Failures, memory and cancellation in the batch loop; which tiles it picks is tested with the queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.engine import Engine, Priority
from hub.errors import Cancelled
from uformer.backends import OutOfMemory

Start = Callable[..., Future[list[int]]]


@pytest.fixture
def start(engine: Engine, in_thread: Any) -> Start:
    """Starts a session in a thread that restores the tiles with these numbers."""

    def run(numbers: Iterable[int], priority: Priority, cancelled: Callable[[], bool] | None) -> list[int]:
        with engine.session("m", priority, cancelled=cancelled) as session:
            source = (np.full((8, 8, 3), number, np.uint8) for number in numbers)
            return [int(result.flat[0]) for result in session.map(source)]

    def begin(
        numbers: Iterable[int],
        priority: Priority = Priority.IMAGE,
        cancelled: Callable[[], bool] | None = None,
    ) -> Future[list[int]]:
        return in_thread(lambda: run(numbers, priority, cancelled))

    return begin


@pytest.fixture
def queue_up(engine: Engine, backend: Any, start: Start, wait_until: Any) -> Start:
    """Like `start`, but returns once the tiles are queued behind a batch that is held; free the backend to go on."""

    def begin(numbers: range, priority: Priority = Priority.IMAGE, **options: Any) -> Future[list[int]]:
        if not backend.ran:
            backend.hold()
            start([99], Priority.LIVE)
            wait_until(lambda: backend.running)
        before = engine.status().queued[priority]
        future = start(numbers, priority, **options)
        wait_until(lambda: engine.status().queued[priority] == before + len(numbers))
        return future

    return begin


def test_the_failing_tile_fails_its_session_only(backend: Any, queue_up: Start, engine: Engine):
    backend.broken[11] = RuntimeError("bad tile")
    good = queue_up(range(4))
    bad = queue_up(range(10, 14))
    late = queue_up(range(20, 24))
    backend.free()
    assert good.result(60) == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="bad tile"):
        bad.result(60)
    assert late.result(60) == [20, 21, 22, 23]
    assert [11] in backend.ran, "the guilty tile was found by running it alone"
    assert engine.status().failed_batches >= 2


def test_the_engine_lives_on_after_a_failure(backend: Any, start: Start, engine: Engine):
    backend.broken[0] = KeyError("boom")
    with pytest.raises(KeyError):
        start(range(1)).result(60)
    assert start(range(1, 6)).result(60) == [1, 2, 3, 4, 5]
    assert engine.status().running


class NoException(BaseException):
    """As some native libraries have them."""


@pytest.mark.parametrize("outcome", [KeyError("what"), NoException("what"), SystemExit("what"), None])
def test_the_engine_survives_whatever_a_backend_does(
    backend: Any, start: Start, engine: Engine, outcome: Any, monkeypatch: pytest.MonkeyPatch
):
    def misbehave(*_: Any, **options: Any) -> Any:
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(backend, "run", misbehave)
    with pytest.raises(Exception, match=r"what|NoneType"):
        start([1]).result(60)
    monkeypatch.undo()
    assert start([2]).result(60) == [2]


@pytest.mark.parametrize(
    "place",
    ["hub.engine.dispatcher.context_of", "hub.engine.sizing.BatchSizer.ran", "hub.engine.models.ModelPool.unpin"],
)
def test_the_engine_survives_its_own_errors(
    start: Start, engine: Engine, wait_until: Any, place: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def fail(*_: Any) -> None:
        raise KeyError("what")

    monkeypatch.setattr("hub.engine.dispatcher.PAUSE_SECONDS", 0.01)
    with monkeypatch.context() as broken:
        broken.setattr(place, fail)
        begun = start([1])
        wait_until(lambda: "An error of the engine" in caplog.text)
        if place.endswith("unpin"):
            assert begun.result(60) == [1]
        else:
            with pytest.raises(KeyError):
                begun.result(60)
    assert start([2]).result(60) == [2]
    assert engine.status().running


def test_a_batch_that_does_not_fit_is_halved(backend: Any, queue_up: Start, engine: Engine):
    backend.fits = 1
    one = queue_up(range(4))
    other = queue_up(range(10, 14))
    backend.free()
    assert one.result(60) == [0, 1, 2, 3]
    assert other.result(60) == [10, 11, 12, 13]
    assert [len(batch) for batch in backend.ran[1:]] == [4, 2] + [1] * 8, "the smaller size is remembered"
    status = engine.status()
    assert status.out_of_memory == 2
    assert status.tiles == 9


def test_a_single_tile_that_does_not_fit_is_its_sessions_affair(backend: Any, queue_up: Start):
    backend.broken[11] = OutOfMemory("tile too big")
    good = queue_up(range(4))
    bad = queue_up(range(10, 14))
    backend.free()
    assert good.result(60) == [0, 1, 2, 3]
    with pytest.raises(OutOfMemory, match="tile too big"):
        bad.result(60)


def test_a_session_may_go_on_after_running_out_of_memory(backend: Any, engine: Engine):
    backend.broken[7] = MemoryError()
    with engine.session("m", Priority.IMAGE) as session:
        with pytest.raises(OutOfMemory, match="Out of memory"):
            list(session.map([np.full((16, 16, 3), 7, np.uint8)]))
        smaller = [np.full((8, 8, 3), number, np.uint8) for number in range(4)]
        assert len(list(session.map(smaller))) == 4


def test_what_did_not_fit_is_not_kept_alive_by_the_error(backend: Any, engine: Engine):
    backend.broken[7] = OutOfMemory("too big")
    with engine.session("m", Priority.IMAGE) as session, pytest.raises(OutOfMemory) as caught:
        list(session.map([np.full((16, 16, 3), 7, np.uint8)]))
    frames = []
    traceback = caught.value.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "run" not in frames
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_result_of_the_wrong_shape_is_an_error(
    backend: Any, start: Start, monkeypatch: pytest.MonkeyPatch, engine: Engine
):
    def run(batch: NDArray[Any], between: Callable[[], None], *, likely: bool) -> NDArray[np.float32]:
        return np.zeros((len(batch), 4, 4, 3), np.float32)

    monkeypatch.setattr(backend, "run", run)
    with pytest.raises(RuntimeError, match="returned shape"):
        start(range(1)).result(60)
    assert engine.status().running


def test_a_cancelled_session_is_dropped_within_one_batch(backend: Any, queue_up: Start, engine: Engine):
    stop = threading.Event()
    cancelled = queue_up(range(4), cancelled=stop.is_set)
    other = queue_up(range(10, 18))
    stop.set()
    backend.free()
    with pytest.raises(Cancelled):
        cancelled.result(60)
    assert other.result(60) == list(range(10, 18))
    assert not {number for batch in backend.ran for number in batch} & {0, 1, 2, 3}


def test_a_session_cancelled_while_its_batch_runs_computes_no_more(
    backend: Any, start: Start, engine: Engine, wait_until: Any
):
    stop = threading.Event()
    backend.hold()
    user = start(range(50), cancelled=stop.is_set)
    wait_until(lambda: engine.status().queued[Priority.IMAGE] == 4)
    stop.set()
    backend.free()
    with pytest.raises(Cancelled):
        user.result(60)
    assert backend.ran == [[0, 1, 2, 3]]


def test_a_failing_cancelled_callback_fails_its_session_only(backend: Any, queue_up: Start):
    armed = threading.Event()

    def cancelled() -> bool:
        if armed.is_set():
            raise RuntimeError("callback broke")
        return False

    bad = queue_up(range(4), cancelled=cancelled)
    good = queue_up(range(10, 14))
    armed.set()
    backend.free()
    with pytest.raises(RuntimeError, match="callback broke"):
        bad.result(60)
    assert good.result(60) == [10, 11, 12, 13]


def test_the_cancelled_callback_may_ask_the_engine(engine: Engine, start: Start):
    assert start(range(9), cancelled=lambda: engine.status().tiles > 1000).result(60) == list(range(9))


def test_more_urgent_tiles_overtake(backend: Any, queue_up: Start):
    backend.largest = 1
    futures = [queue_up(range(0, 2), Priority.VIDEO), queue_up(range(10, 12)), queue_up(range(20, 22), Priority.LIVE)]
    backend.free()
    assert [future.result(60) for future in futures] == [[0, 1], [10, 11], [20, 21]]
    assert backend.ran == [[99], [20], [21], [10], [11], [0], [1]]


def test_sessions_share_batches_and_lower_priorities_top_up(backend: Any, queue_up: Start):
    futures = [queue_up(range(0, 2), Priority.VIDEO), queue_up(range(10, 11)), queue_up(range(20, 21))]
    backend.free()
    assert [future.result(60) for future in futures] == [[0, 1], [10], [20]]
    assert backend.ran[1] == [10, 20, 0, 1]


def test_batches_are_capped_by_time(backend: Any, start: Start, engine: Engine):
    backend.tile_ms = 100.0
    assert start(range(20)).result(60) == list(range(20))
    assert max(len(batch) for batch in backend.ran[2:]) == 2, "250 ms allow two tiles of 100 ms"


def test_batches_are_small_while_a_live_session_is_open(backend: Any, start: Start, engine: Engine):
    backend.tile_ms = 20.0
    backend.largest = 8
    start(range(30)).result(60)
    backend.ran.clear()
    with engine.session("m", Priority.LIVE):
        start(range(20)).result(60)
    assert max(len(batch) for batch in backend.ran) == 2, "50 ms allow two tiles of 20 ms"
