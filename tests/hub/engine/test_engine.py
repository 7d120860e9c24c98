from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.engine import Engine, EngineStopped, ModelStatus, Priority
from hub.errors import Busy, Cancelled


def tiles(numbers: range) -> Iterator[NDArray[Any]]:
    return (np.full((8, 8, 3), number % 256, np.uint8) for number in numbers)


def restore(engine: Engine, numbers: range, priority: Priority = Priority.IMAGE, model: str = "m") -> list[int]:
    with engine.session(model, priority) as session:
        return [int(result.flat[0]) for result in session.map(tiles(numbers))]


def names(engine: Engine) -> list[str]:
    return [model.name for model in engine.status().models]


def test_status_tells_what_was_done(engine: Engine, backend: Any):
    backend.largest = 1
    backend.tile_ms = 10.0
    restore(engine, range(6))
    with engine.session("m", Priority.IMAGE):
        status = engine.status()
    assert status.running
    assert status.models == (ModelStatus("m", loaded=True, in_use=1, bytes=100, backend="fake"),)
    assert (status.batches, status.tiles, status.mean_batch_fill) == (6, 6, 1.0)
    assert status.busy_seconds == pytest.approx(0.06)
    assert (status.memory_used, status.memory_budget) == (100, None)
    assert (status.loads, status.evictions, status.failed_batches, status.out_of_memory) == (1, 0, 0, 0)
    assert status.queued == {Priority.LIVE: 0, Priority.IMAGE: 0, Priority.VIDEO: 0}
    assert engine.status().models[0].in_use == 0


def test_mean_batch_fill_is_the_share_of_what_would_fit(engine: Engine, backend: Any):
    assert engine.status().mean_batch_fill == 0.0
    restore(engine, range(1))
    assert engine.status().mean_batch_fill == 0.25


@pytest.mark.parametrize(("largest", "tiles_each"), [(4, 1), (8, 4)])
def test_batches_are_full_with_eight_small_photos_in_flight(
    engine: Engine, backend: Any, in_thread: Any, largest: int, tiles_each: int
):
    """Eight clients that send one photo after another, to a device that takes as long as a GPU would."""
    backend.largest = largest
    backend.busy_seconds = 0.02

    def photos() -> None:
        for _ in range(20):
            assert restore(engine, range(tiles_each)) == list(range(tiles_each))

    clients = [in_thread(photos) for _ in range(8)]
    for client in clients:
        client.result(60)

    status = engine.status()
    assert status.tiles == 8 * 20 * tiles_each
    assert status.mean_batch_fill >= 0.8, "more where nothing else runs: the first and the last batches are small"


def test_a_photo_is_not_kept_waiting_by_a_long_job(engine: Engine, backend: Any, in_thread: Any, wait_until: Any):
    backend.hold()
    long_job = in_thread(lambda: restore(engine, range(200), Priority.VIDEO))
    wait_until(lambda: engine.status().queued[Priority.VIDEO] == 4)
    photo = in_thread(lambda: restore(engine, range(200, 208)))
    wait_until(lambda: engine.status().queued[Priority.IMAGE] == 8)
    backend.free()
    assert photo.result(60) == list(range(200, 208))
    assert long_job.result(60) == list(range(200))
    served = [number for batch in backend.ran for number in batch]
    assert served.index(207) < 40, "eight tiles of a photo need not wait for two hundred of a video"


def test_two_long_jobs_advance_together(engine: Engine, backend: Any, in_thread: Any, wait_until: Any):
    backend.largest = 1
    backend.tile_ms = 10.0
    backend.hold()
    first = in_thread(lambda: restore(engine, range(100)))
    wait_until(lambda: engine.status().queued[Priority.IMAGE] == 1)
    second = in_thread(lambda: restore(engine, range(100, 200)))
    for batch in range(1, 101):
        # Both jobs keep a tile waiting before each batch, so that the engine always has the choice.
        wait_until(lambda batch=batch: len(backend.ran) == batch and engine.status().queued[Priority.IMAGE] == 3)
        backend.let(1)
    served = [number for batch in backend.ran[:100] for number in batch]
    assert abs(sum(number < 100 for number in served) - 50) <= 2
    backend.free()
    assert first.result(60) == list(range(100))
    assert second.result(60) == list(range(100, 200))


def test_jobs_of_different_tile_shapes_take_turns_by_slices(backend: Any, clock: Any, in_thread: Any, wait_until: Any):
    backend.largest = 1
    backend.tile_ms = 100.0
    backend.hold()
    engine = Engine(lambda _name: backend, slice_ms=550, clock=clock)
    engine.start()

    def restore_sides(side: int) -> None:
        with engine.session("m", Priority.IMAGE) as session:
            assert len(list(session.map(np.full((side, side, 3), side, np.uint8) for _ in range(50)))) == 50

    jobs = [in_thread(lambda: restore_sides(8))]
    wait_until(lambda: engine.status().queued[Priority.IMAGE] == 1)
    jobs.append(in_thread(lambda: restore_sides(16)))
    for batch in range(1, 62):
        # Both jobs keep a tile waiting before each batch, so that the engine always has the choice.
        wait_until(lambda batch=batch: len(backend.ran) == batch and engine.status().queued[Priority.IMAGE] == 3)
        backend.let(1)
    sides = [side for batch in backend.ran[:60] for side in batch]
    assert abs(sides.count(8) - 30) <= 5
    assert sum(before != after for before, after in pairwise(sides)) <= 14
    backend.free()
    for job in jobs:
        job.result(60)
    engine.stop()


def test_many_jobs_at_once_all_end_right(engine: Engine, backend: Any, in_thread: Any):
    jobs = [
        in_thread(lambda n=n: restore(engine, range(n, n + 40), Priority(n % 3), model="mno"[n % 2])) for n in range(12)
    ]
    assert [job.result(60) for job in jobs] == [list(range(n, n + 40)) for n in range(12)]
    assert engine.status().tiles == 480
    assert len(backend.threads) == 1, "one thread owns the accelerator"


def test_stopping_fails_waiting_tiles_and_closes_the_models(
    engine: Engine, backend: Any, in_thread: Any, wait_until: Any
):
    backend.hold()
    user = in_thread(lambda: restore(engine, range(40)))
    wait_until(lambda: engine.status().queued[Priority.IMAGE] == 4)
    stopping = in_thread(engine.stop)
    wait_until(lambda: not engine.status().running)
    assert not stopping.done(), "the running batch ends first"
    backend.free()
    stopping.result(60)
    with pytest.raises(EngineStopped):
        user.result(60)
    assert backend.closed
    assert not backend.closed_while_running
    assert backend.ran == [[0, 1, 2, 3]]
    assert not any(thread.is_alive() for thread in backend.threads)
    engine.stop()


def test_a_stopped_engine_refuses_and_may_be_started_again(engine: Engine, backend: Any):
    restore(engine, range(3))
    engine.stop()
    with pytest.raises(EngineStopped), engine.session("m", Priority.IMAGE):
        pass
    with pytest.raises(EngineStopped):
        engine.load_models(["m"])
    engine.start()
    engine.start()
    assert restore(engine, range(3)) == [0, 1, 2]
    assert sum(thread.is_alive() for thread in backend.threads) == 1


def test_an_engine_never_started_refuses(make_backend: Any):
    engine = Engine(lambda _name: make_backend())
    with pytest.raises(EngineStopped), engine.session("m", Priority.IMAGE):
        pass
    engine.stop()
    assert not engine.status().running


def test_a_session_that_outlives_a_restart_disturbs_nothing(engine: Engine):
    with engine.session("m", Priority.IMAGE):
        engine.stop()
        engine.start()
        with engine.session("m", Priority.IMAGE):
            pass
    assert [model.in_use for model in engine.status().models] == [0]


def test_loading_a_model_does_not_hold_up_the_batches(make_backend: Any, in_thread: Any):
    loading, gate = threading.Event(), threading.Event()

    def load(name: str) -> Any:
        if name == "slow":
            loading.set()
            assert gate.wait(60)
        return make_backend()

    engine = Engine(load)
    engine.start()
    slow = in_thread(lambda: restore(engine, range(3), model="slow"))
    assert loading.wait(60)
    assert restore(engine, range(9)) == list(range(9))
    assert not slow.done()
    gate.set()
    assert slow.result(60) == [0, 1, 2]
    engine.stop()


def test_a_failed_load_is_reported_and_may_be_tried_again(make_backend: Any):
    errors = [ValueError("truncated")]

    def load(_name: str) -> Any:
        if errors:
            raise errors.pop()
        return make_backend()

    engine = Engine(load)
    engine.start()
    with pytest.raises(ValueError, match="truncated"):
        restore(engine, range(1))
    assert restore(engine, range(1)) == [0]
    engine.stop()


def test_the_budget_evicts_the_least_recently_used(make_backend: Any, in_thread: Any):
    engine = Engine(lambda _name: make_backend(), memory_budget=200)
    engine.start()
    for model in ("a", "b", "a", "c"):
        restore(engine, range(2), model=model)
    assert names(engine) == ["a", "c"]
    assert engine.status().evictions == 1
    with engine.session("a", Priority.IMAGE), engine.session("c", Priority.IMAGE):
        waiting: Future[list[int]] = in_thread(lambda: restore(engine, range(2), model="b"))
        assert engine.unload_models(["a", "b", "c"])[1] != []
        assert set(names(engine)) >= {"a", "c"}
    assert waiting.result(60) == [0, 1]
    engine.stop()


def test_a_session_that_waits_for_memory_can_be_cancelled(make_backend: Any, in_thread: Any):
    engine = Engine(lambda _name: make_backend(), memory_budget=100)
    engine.start()
    stop = threading.Event()

    def wait_for_b() -> None:
        with engine.session("b", Priority.IMAGE, cancelled=stop.is_set):
            pass

    with engine.session("a", Priority.IMAGE):
        waiting = in_thread(wait_for_b)
        stop.set()
        with pytest.raises(Cancelled):
            waiting.result(60)
    engine.stop()


def test_steady_traffic_on_one_model_does_not_keep_another_out(make_backend: Any, in_thread: Any, wait_until: Any):
    engine = Engine(lambda _name: make_backend(), memory_budget=100)
    engine.start()
    enough = threading.Event()

    def traffic() -> None:
        while not enough.is_set():
            restore(engine, range(2), model="a")

    in_use = threading.Event()

    def overlap() -> None:
        while not enough.is_set():
            with engine.session("a", Priority.IMAGE):
                in_use.set()
                # Hold on until another has come, so that the model is never idle; live sessions pass the line.
                with engine.session("a", Priority.LIVE):
                    pass
                enough.wait(0.005)

    users = [in_thread(work) for work in (traffic, overlap, overlap, overlap)]
    assert in_use.wait(60)
    waiting = in_thread(lambda: restore(engine, range(2), model="b"))
    assert waiting.result(60) == [0, 1]
    enough.set()
    for user in users:
        user.result(60)
    engine.stop()


def test_a_live_session_passes_those_who_wait_for_memory(make_backend: Any, in_thread: Any, wait_until: Any):
    engine = Engine(lambda _name: make_backend(), memory_budget=100)
    engine.start()
    asked: list[None] = []
    with engine.session("a", Priority.IMAGE):

        def wait_for_b() -> None:
            with engine.session("b", Priority.IMAGE, cancelled=lambda: asked.append(None) is not None):
                pass

        waiting = in_thread(wait_for_b)
        wait_until(lambda: len(asked) >= 3)
        live = in_thread(lambda: restore(engine, range(2), Priority.LIVE, model="a"))
        assert live.result(60) == [0, 1]
        assert not waiting.done()
    waiting.result(60)
    engine.stop()


def test_models_are_loaded_and_unloaded_on_request(make_backend: Any):
    engine = Engine(lambda _name: make_backend(), memory_budget=200)
    engine.start()
    assert engine.load_models(["a", "b", "a"]) == ["a", "b"]
    with pytest.raises(Busy, match="c"):
        engine.load_models(["a", "b", "c"])
    with engine.session("a", Priority.IMAGE):
        assert engine.unload_models(["a", "b"]) == (["b"], ["a"])
    assert names(engine) == ["a"]
    engine.stop()


def test_a_model_is_not_closed_under_a_running_batch(engine: Engine, backend: Any, in_thread: Any, wait_until: Any):
    backend.hold()
    with engine.session("m", Priority.IMAGE) as session:
        user = in_thread(lambda: list(session.map(tiles(range(2)))))
        wait_until(lambda: backend.running)
    assert engine.unload_models(["m"]) == ([], ["m"])
    backend.free()
    assert len(user.result(60)) == 2
    wait_until(lambda: engine.unload_models(["m"]) == (["m"], []))
    assert not backend.closed_while_running
