from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hub.engine import EngineStopped
from hub.engine.models import ModelPool
from hub.errors import Busy, Cancelled


class Loader:
    """Loads fake models by name. loads: names in order. gate: every load waits for it. errors: raised once each."""

    def __init__(self, make_backend: Any) -> None:
        self.make_backend = make_backend
        self.sizes: dict[str, int] = {}
        self.loads: list[str] = []
        self.backends: list[Any] = []
        self.errors: list[Exception] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, name: str) -> Any:
        self.loads.append(name)
        self.begun.release()
        assert self.gate.wait(60)
        if self.errors:
            raise self.errors.pop()
        self.backends.append(self.make_backend(memory_bytes=self.sizes.get(name, 100)))
        return self.backends[-1]


class Asked:
    """A `cancelled` callback that tells when the pool has come back from waiting, by having asked twice."""

    def __init__(self) -> None:
        self.times = 0
        self.answer = False

    def __call__(self) -> bool:
        self.times += 1
        return self.answer

    def waited(self) -> bool:
        return self.times >= 2


@pytest.fixture
def loader(make_backend: Any) -> Loader:
    return Loader(make_backend)


def use(pool: ModelPool, name: str) -> None:
    """Acquire and release at once."""
    pool.release(pool.acquire(name))


def loaded(pool: ModelPool) -> list[str]:
    return [model.name for model in pool.status() if model.loaded]


def test_a_model_is_loaded_on_first_use_and_kept(loader: Loader):
    pool = ModelPool(loader, None)
    first = pool.acquire("a")
    pool.release(first)
    assert pool.acquire("a") is first
    assert loader.loads == ["a"]
    assert pool.loads == 1


def test_many_threads_load_a_model_once(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, None)
    loader.gate.clear()
    asked = [Asked() for _ in range(5)]
    users = [in_thread(lambda one=one: pool.acquire("a", one)) for one in asked]
    wait_until(lambda: sum(one.waited() for one in asked) == 4)
    assert [(model.name, model.loaded) for model in pool.status()] == [("a", False)]
    loader.gate.set()
    assert len({id(user.result(60)) for user in users}) == 1
    assert loader.loads == ["a"]
    assert [(model.loaded, model.in_use) for model in pool.status()] == [(True, 5)]


def test_different_models_load_at_the_same_time(loader: Loader, in_thread: Any):
    pool = ModelPool(loader, 1000)
    loader.gate.clear()
    users = [in_thread(lambda name=name: pool.acquire(name)) for name in "ab"]
    assert loader.begun.acquire(timeout=60)
    assert loader.begun.acquire(timeout=60)
    loader.gate.set()
    assert [user.result(60).name for user in users] == ["a", "b"]


def test_a_failed_load_is_told_to_everyone_and_may_be_tried_again(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, 1000)
    loader.gate.clear()
    loader.errors.append(ValueError("bad file"))
    asked = [Asked() for _ in range(3)]
    users = [in_thread(lambda one=one: pool.acquire("a", one)) for one in asked]
    wait_until(lambda: sum(one.waited() for one in asked) == 2)
    loader.gate.set()
    for user in users:
        with pytest.raises(ValueError, match="bad file"):
            user.result(60)
    assert loader.loads == ["a"]
    assert pool.status() == ()
    assert pool.acquire("a").name == "a"


def test_one_who_waits_for_a_load_can_be_cancelled(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, None)
    loader.gate.clear()
    first = in_thread(lambda: pool.acquire("a"))
    assert loader.begun.acquire(timeout=60)
    asked = Asked()
    second = in_thread(lambda: pool.acquire("a", asked))
    wait_until(asked.waited)
    asked.answer = True
    with pytest.raises(Cancelled):
        second.result(60)
    loader.gate.set()
    first.result(60)
    assert [model.in_use for model in pool.status()] == [1]


def test_the_least_recently_used_goes_first(loader: Loader):
    pool = ModelPool(loader, 300)
    for name in "abc":
        use(pool, name)
    use(pool, "a")
    use(pool, "d")
    assert loaded(pool) == ["a", "c", "d"]
    assert [backend.closed for backend in loader.backends] == [False, True, False, False]
    assert pool.evictions == 1


def test_as_many_go_as_a_big_model_needs(loader: Loader):
    loader.sizes["big"] = 250
    pool = ModelPool(loader, 300)
    for name in "abc":
        use(pool, name)
    use(pool, "big")
    assert loaded(pool) == ["big"]


def test_a_known_size_is_made_room_for_before_loading(loader: Loader, in_thread: Any):
    pool = ModelPool(loader, 100)
    use(pool, "a")
    use(pool, "b")
    loader.gate.clear()
    loader.begun = threading.Semaphore(0)
    user = in_thread(lambda: use(pool, "a"))
    assert loader.begun.acquire(timeout=60)
    assert loader.backends[1].closed
    loader.gate.set()
    user.result(60)


def test_a_model_in_use_stays_and_the_newcomer_waits(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, 200)
    held = pool.acquire("a")
    use(pool, "b")
    loader.sizes["c"] = 150
    asked = Asked()
    newcomer = in_thread(lambda: pool.acquire("c", asked))
    wait_until(lambda: asked.times >= 4)
    assert not newcomer.done()
    assert not held.backend.closed
    pool.release(held)
    assert newcomer.result(60).name == "c"
    assert loaded(pool) == ["c"]
    assert loader.loads == ["a", "b", "c", "c"], "its size was known only after a first load"


def test_one_who_waits_for_room_can_be_cancelled(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, 100)
    pool.acquire("a")
    asked = Asked()
    newcomer = in_thread(lambda: pool.acquire("b", asked))
    wait_until(lambda: asked.times >= 3)
    asked.answer = True
    with pytest.raises(Cancelled):
        newcomer.result(60)
    assert loaded(pool) == ["a"]
    assert all(backend.closed for backend in loader.backends[1:])


def test_one_already_cancelled_loads_nothing(loader: Loader):
    pool = ModelPool(loader, None)
    with pytest.raises(Cancelled):
        pool.acquire("a", lambda: True)
    assert loader.loads == []


def test_without_waiting_no_room_is_an_error(loader: Loader):
    pool = ModelPool(loader, 100)
    pool.acquire("a")
    with pytest.raises(Busy, match="b"):
        pool.acquire("b", wait=False)


def test_a_single_model_may_exceed_the_budget(loader: Loader, caplog: pytest.LogCaptureFixture):
    loader.sizes["huge"] = 500
    pool = ModelPool(loader, 100)
    use(pool, "a")
    with caplog.at_level(logging.WARNING):
        use(pool, "huge")
        use(pool, "huge")
    assert loaded(pool) == ["huge"]
    assert "huge takes 500 bytes" in caplog.text
    assert loader.loads == ["a", "huge"]


def test_two_too_big_models_loading_at_once_are_both_served(loader: Loader, in_thread: Any):
    loader.sizes |= {"a": 500, "b": 500}
    pool = ModelPool(loader, 100)
    loader.gate.clear()
    users = [in_thread(lambda name=name: use(pool, name)) for name in "ab"]
    assert loader.begun.acquire(timeout=60)
    assert loader.begun.acquire(timeout=60)
    loader.gate.set()
    for user in users:
        user.result(60)
    assert len(loaded(pool)) == 1
    assert sum(not backend.closed for backend in loader.backends) == 1


def test_unloading_skips_models_in_use_and_ignores_the_rest(loader: Loader):
    pool = ModelPool(loader, None)
    use(pool, "a")
    pool.acquire("b")
    assert pool.unload(["a", "b", "unknown", "a"]) == (["a"], ["b"])
    assert [backend.closed for backend in loader.backends] == [True, False]


def test_a_running_batch_keeps_its_model(loader: Loader):
    pool = ModelPool(loader, None)
    session = pool.acquire("a")
    batch = pool.pin("a")
    pool.release(session)
    assert pool.unload(["a"]) == ([], ["a"])
    pool.unpin(batch)
    assert pool.unload(["a"]) == (["a"], [])


def test_closing_closes_every_model_and_ends_the_waiting(loader: Loader, in_thread: Any, wait_until: Any):
    pool = ModelPool(loader, 100)
    pool.acquire("a")
    asked = Asked()
    waiting: list[Callable[[], bool] | None] = [asked, None]
    newcomers = [in_thread(lambda one=one: pool.acquire("b", one)) for one in waiting]
    wait_until(asked.waited)
    pool.close()
    for newcomer in newcomers:
        with pytest.raises(EngineStopped):
            newcomer.result(60)
    assert all(backend.closed for backend in loader.backends)
    pool.reopen()
    assert pool.acquire("a").name == "a"


def test_a_load_that_ends_after_closing_is_closed_too(loader: Loader, in_thread: Any):
    pool = ModelPool(loader, None)
    loader.gate.clear()
    user = in_thread(lambda: pool.acquire("a"))
    assert loader.begun.acquire(timeout=60)
    pool.close()
    loader.gate.set()
    with pytest.raises(EngineStopped):
        user.result(60)
    assert loader.backends[0].closed


def test_a_backend_that_fails_to_close_is_logged(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail() -> None:
        raise RuntimeError("stuck")

    pool = ModelPool(loader, 100)
    use(pool, "a")
    monkeypatch.setattr(loader.backends[0], "close", fail)
    use(pool, "b")
    assert loaded(pool) == ["b"]
    assert "Closing model a failed" in caplog.text
