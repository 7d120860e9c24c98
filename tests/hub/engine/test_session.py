from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.engine import Engine, EngineStopped, Priority
from hub.errors import Cancelled


def tile(number: int, side: int = 8, dtype: str = "uint8") -> NDArray[Any]:
    return np.full((side, side, 3), number, dtype)


def tiles(numbers: range) -> Iterator[NDArray[Any]]:
    return map(tile, numbers)


def numbers_of(results: Iterator[NDArray[Any]]) -> list[int]:
    return [int(result.flat[0]) for result in results]


def test_results_come_in_order_and_whole(engine: Engine):
    with engine.session("m", Priority.IMAGE) as session:
        results = list(session.map(tiles(range(23))))
    assert numbers_of(iter(results)) == list(range(23))
    assert all(result.shape == (8, 8, 3) and result.dtype == np.float32 for result in results)


def test_shapes_and_types_may_mix(engine: Engine, backend: Any):
    kinds = [(8, "uint8"), (16, "uint8"), (8, "uint16"), (8, "float32"), (16, "uint8"), (8, "uint8")] * 3
    with engine.session("m", Priority.IMAGE) as session:
        results = list(session.map(tile(n, side, dtype) for n, (side, dtype) in enumerate(kinds)))
    assert numbers_of(iter(results)) == list(range(18))
    assert [result.shape[0] for result in results] == [side for side, _dtype in kinds]


def test_no_tiles_no_results(engine: Engine, backend: Any):
    with engine.session("m", Priority.IMAGE) as session:
        assert list(session.map([])) == []
    assert backend.ran == []


def test_nothing_is_pulled_before_the_first_result_is_wanted(engine: Engine):
    source = tiles(range(5))
    with engine.session("m", Priority.IMAGE) as session:
        session.map(source)
    assert len(list(source)) == 5


def test_batches_are_full(engine: Engine, backend: Any, in_thread: Any, wait_until: Any):
    backend.hold()
    with engine.session("m", Priority.IMAGE) as session:
        user = in_thread(lambda: numbers_of(session.map(tiles(range(10)))))
        for waiting in (4, 2, 0):
            wait_until(lambda waiting=waiting: backend.running and engine.status().queued[Priority.IMAGE] == waiting)
            backend.let(1)
        assert user.result(60) == list(range(10))
    assert [len(batch) for batch in backend.ran] == [4, 4, 2]


def test_only_about_two_batches_are_pulled_ahead(engine: Engine, backend: Any):
    pulled = itertools.count()
    source = (tile(next(pulled) % 200) for _ in range(1000))
    with engine.session("m", Priority.IMAGE) as session:
        results = session.map(source)
        for _ in range(50):
            next(results)
        results.close()
    assert 50 <= next(pulled) <= 50 + 2 * backend.largest


def test_one_session_may_map_again_and_again(engine: Engine):
    with engine.session("m", Priority.IMAGE) as session:
        for _ in range(3):
            assert numbers_of(session.map(tiles(range(6)))) == list(range(6))


def test_an_error_of_the_input_reaches_the_caller(engine: Engine):
    def source() -> Iterator[NDArray[Any]]:
        yield tile(0)
        yield tile(1)
        raise OSError("disk gone")

    with engine.session("m", Priority.IMAGE) as session:
        with pytest.raises(OSError, match="disk gone"):
            list(session.map(source()))
        assert sum(engine.status().queued.values()) == 0
        assert numbers_of(session.map(tiles(range(3)))) == [0, 1, 2]


def test_a_caller_that_stops_early_leaves_nothing_behind(engine: Engine, backend: Any, wait_until: Any):
    with engine.session("m", Priority.IMAGE) as session:
        backend.hold()
        backend.let(1)
        results = session.map(tiles(range(100)))
        next(results)
        wait_until(lambda: len(backend.ran) == 2)
        results.close()
        assert sum(engine.status().queued.values()) == 0
        backend.free()
        assert numbers_of(session.map(tiles(range(200, 203)))) == [200, 201, 202]
    assert backend.ran == [[0, 1, 2, 3], [4, 5, 6, 7], [200, 201, 202]]


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_a_tile_of_the_wrong_kind_is_refused(engine: Engine, bad: NDArray[Any]):
    with engine.session("m", Priority.IMAGE) as session, pytest.raises(ValueError, match=r"must be \(h, w, 3\)"):
        list(session.map([bad]))


def test_a_model_is_prepared_for_each_shape_until_the_session_is_cancelled(engine: Engine, backend: Any):
    with engine.session("m", Priority.VIDEO, cancelled=lambda: len(backend.prepared) == 2) as session:
        with pytest.raises(Cancelled):
            session.prepare({(8, 16), (8, 8), (16, 8)})
        assert backend.prepared == [(8, 8), (8, 16)]


def test_whoever_brings_tiles_has_them_compiled(engine: Engine, backend: Any, in_thread: Any):
    """In his own thread, and held for as long as they come."""

    def restore() -> tuple[threading.Thread, list[dict[tuple[int, int], int]]]:
        held = []
        with engine.session("m", Priority.IMAGE) as session:
            for _ in range(2):
                held.extend(
                    dict(backend.held) for _ in session.map([np.zeros((8, width, 3), np.uint8) for width in (8, 16)])
                )
                held.append(dict(+backend.held))
            session.warm((16, 16))
        return threading.current_thread(), held

    thread, held = in_thread(restore).result(60)
    assert held[:3] == held[3:] == [{(8, 8): 1, (8, 16): 1}] * 2 + [{}]
    assert set(backend.compiled_by) == {thread} != backend.threads
    assert len(backend.compiled_by) == 5
    assert not +backend.held


def test_what_was_prepared_is_held_until_the_session_ends(engine: Engine, backend: Any):
    with engine.session("m", Priority.VIDEO) as session:
        session.prepare({(8, 8)})
        list(session.map(tiles(range(2))))
        assert backend.held == {(8, 8): 1}
    assert not +backend.held


def test_tiles_go_ahead_while_the_next_shape_is_compiled(
    engine: Engine, backend: Any, wait_until: Any, monkeypatch: pytest.MonkeyPatch
):
    prepare = backend.prepare

    def slow(height: int, width: int, **options: Any) -> None:
        if width == 16:
            wait_until(lambda: backend.ran == [[0]])
        prepare(height, width, **options)

    monkeypatch.setattr(backend, "prepare", slow)
    with engine.session("m", Priority.IMAGE) as session:
        assert len(list(session.map([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 16, 3), np.uint8)]))) == 2


def test_a_model_closed_while_it_compiles_means_that_the_engine_stops(
    engine: Engine, backend: Any, monkeypatch: pytest.MonkeyPatch
):
    def closed(*_: Any, **options: Any) -> None:
        raise CancelledError

    monkeypatch.setattr(backend, "prepare", closed)
    with engine.session("m", Priority.IMAGE) as session:
        with pytest.raises(EngineStopped):
            list(session.map(tiles([1])))
        with pytest.raises(EngineStopped):
            session.prepare({(8, 8)})


def test_a_closed_session_takes_no_tiles(engine: Engine):
    with engine.session("m", Priority.IMAGE) as session:
        pass
    with pytest.raises(Cancelled, match="closed"):
        list(session.map(tiles(range(2))))


def test_closing_a_session_ends_the_waiting_in_another_thread(
    engine: Engine, backend: Any, in_thread: Any, wait_until: Any
):
    backend.hold()
    with engine.session("m", Priority.IMAGE) as session:
        user = in_thread(lambda: list(session.map(tiles(range(8)))))
        wait_until(lambda: engine.status().queued[Priority.IMAGE] == 4)
    assert engine.status().queued[Priority.IMAGE] == 0
    backend.free()
    with pytest.raises(Cancelled):
        user.result(60)
    assert backend.ran == [[0, 1, 2, 3]]


def test_inputs_are_let_go_once_they_are_done(engine: Engine, backend: Any):
    class Watched(np.ndarray[Any, Any]):
        """An array that can be weakly referenced."""

    backend.largest = 2
    alive: list[weakref.ref[Any]] = []

    def source() -> Iterator[NDArray[Any]]:
        for number in range(20):
            pixels = tile(number).view(Watched)
            alive.append(weakref.ref(pixels))
            yield pixels
            del pixels

    with engine.session("m", Priority.IMAGE) as session:
        for number, _result in enumerate(session.map(source())):
            held = [index for index, ref in enumerate(alive) if ref() is not None]
            assert all(index >= number - backend.largest for index in held)
