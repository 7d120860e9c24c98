"""Who gets the memory when there is not enough of it for all; loading and closing is tested with the models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from hub.engine import models
from hub.engine.models import ModelPool
from hub.errors import Busy, Cancelled


class User:
    """A thread that acquires a model, and holds it until it is told to let go; made, it has it or waits for it."""

    def __init__(self, pool: ModelPool, name: str, in_thread: Any, wait_until: Any, *, urgent: bool = False) -> None:
        self.asked = 0
        self.cancel = False
        self.had = threading.Event()
        self.done = threading.Event()
        self.thread: Future[None] = in_thread(lambda: self._use(pool, name, urgent))
        # Asked at first, after a load that showed its size, and after each look in vain.
        wait_until(lambda: self.asked >= 4 or self.had.is_set())

    @property
    def waits(self) -> bool:
        return not self.had.is_set()

    def gets_it(self) -> bool:
        return self.had.wait(60)

    def let_go(self) -> None:
        self.done.set()
        self.thread.result(60)

    def _use(self, pool: ModelPool, name: str, urgent: bool) -> None:
        model = pool.acquire(name, self._cancelled, urgent=urgent)
        self.had.set()
        self.done.wait(60)
        pool.release(model)

    def _cancelled(self) -> bool:
        self.asked += 1
        return self.cancel


Want = Callable[..., User]


class Pool(ModelPool):
    """A pool of 300 bytes for fake models of 100, or as `sizes` says. backends: the last one by name."""

    def __init__(self, make_backend: Any) -> None:
        super().__init__(self._open_backend, 300)
        self.make_backend = make_backend
        self.bytes: dict[str, int] = {}
        self.broken: set[str] = set()
        self.order: list[str] = []
        self.backends: dict[str, Any] = {}

    def _open_backend(self, name: str) -> Any:
        if name in self.broken:
            raise ValueError("damaged")
        self.order.append(name)
        self.backends[name] = self.make_backend(memory_bytes=self.bytes.get(name, 100))
        return self.backends[name]

    def loaded(self) -> list[str]:
        return [model.name for model in self.status() if model.loaded]


@pytest.fixture
def pool(make_backend: Any, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr(models, "POLL_SECONDS", 0.005)
    return Pool(make_backend)


@pytest.fixture
def want(pool: Pool, in_thread: Any, wait_until: Any) -> Iterator[Want]:
    """Makes users of the pool; at the end all let go."""
    users: list[User] = []

    def begin(name: str, **options: Any) -> User:
        users.append(User(pool, name, in_thread, wait_until, **options))
        return users[-1]

    yield begin
    for user in users:
        user.done.set()
    pool.close()


def test_newcomers_queue_behind_one_who_waits_for_their_models_room(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    held = want("a")
    b = want("b")
    newcomer = want("a")
    assert b.waits
    assert newcomer.waits
    held.let_go()
    assert b.gets_it()
    assert newcomer.waits
    b.let_go()
    assert newcomer.gets_it()


def test_a_model_that_may_stay_takes_newcomers(pool: Pool, want: Want):
    a, _c, _d = want("a"), want("c"), want("d")
    b = want("b")
    assert [want(name).waits for name in ("c", "d", "c")] == [False, False, False]
    assert want("a").waits, "the least recently used makes room"
    assert b.waits
    a.let_go()
    assert b.gets_it()


def test_the_choice_of_who_must_leave_does_not_follow_the_traffic(pool: Pool, want: Want):
    for name in "acd":
        want(name)
    b = want("b")
    want("c").let_go()
    assert want("a", urgent=True).gets_it()
    assert want("a").waits, "though it is no longer the least recently used"
    assert not want("d").waits
    assert b.waits


def test_no_one_overtakes_to_take_the_room_that_another_waits_for(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    held = want("a")
    b = want("b")
    small = want("c")
    assert small.waits, "it would fit beside a"
    held.let_go()
    assert b.gets_it()
    b.let_go()
    assert small.gets_it()


def test_the_room_is_given_in_order_of_arrival(pool: Pool, want: Want):
    for name in "bcd":
        pool.bytes[name] = 300
    held = want("a")
    line = [want(name) for name in "bcd"]
    held.let_go()
    for index, one in enumerate(line):
        assert one.gets_it()
        assert all(later.waits for later in line[index + 1 :])
        one.let_go()


def test_one_who_is_cancelled_leaves_the_line(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    want("a")
    b = want("b")
    newcomer, small = want("a"), want("c")
    b.cancel = True
    with pytest.raises(Cancelled):
        b.thread.result(60)
    assert newcomer.gets_it()
    assert small.gets_it()


def test_one_whose_load_fails_leaves_the_line(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    held = want("a")
    b, newcomer = want("b"), want("a")
    pool.broken.add("b")
    held.let_go()
    with pytest.raises(ValueError, match="damaged"):
        b.thread.result(60)
    assert newcomer.gets_it()


def test_a_thread_that_holds_a_session_does_not_wait_for_those_who_wait_for_it(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    first = pool.acquire("a")
    b = want("b")
    second, small = pool.acquire("a"), pool.acquire("c")
    assert b.waits
    for model in (first, second, small):
        pool.release(model)
    assert b.gets_it()
    assert want("a").waits


def test_a_thread_is_like_any_other_once_it_holds_nothing(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    pool.release(pool.acquire("a"))
    want("a")
    b = want("b")
    with pytest.raises(Busy):
        pool.acquire("c", wait=False)
    assert b.waits


def test_the_urgent_pass_the_line(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    want("a")
    b = want("b")
    assert want("a", urgent=True).gets_it()
    assert want("c", urgent=True).gets_it()
    assert b.waits


def test_the_urgent_wait_at_the_front(pool: Pool, want: Want):
    pool.bytes |= {"b": 300, "c": 300}
    held = want("a")
    b, urgent = want("b"), want("c", urgent=True)
    held.let_go()
    assert urgent.gets_it()
    assert b.waits
    urgent.let_go()
    assert b.gets_it()


def test_without_waiting_a_loaded_model_is_had_at_once(pool: Pool, want: Want):
    pool.bytes["b"] = 300
    want("a")
    b = want("b")
    pool.release(pool.acquire("a", wait=False))
    assert b.waits


def test_what_a_model_holds_now_decides_what_goes(pool: Pool):
    for name in "abc":
        pool.release(pool.acquire(name))
    pool.backends["a"].memory_bytes = 30
    pool.backends["c"].memory_bytes = 120
    pool.release(pool.acquire("d"))
    assert pool.loaded() == ["c", "d"], "a alone no longer makes enough room"
    pool.backends["c"].memory_bytes = 20
    pool.release(pool.acquire("e"))
    assert pool.loaded() == ["c", "d", "e"]


def test_idle_models_go_when_one_grows_in_a_batch(pool: Pool):
    for name in "abc":
        pool.release(pool.acquire(name))
    session = pool.acquire("a")
    batch = pool.pin("a")
    pool.backends["a"].memory_bytes = 200
    pool.unpin(batch)
    assert pool.loaded() == ["a", "c"]
    assert pool.backends["b"].closed
    assert pool.evictions == 1
    pool.backends["a"].memory_bytes = 900
    pool.release(session)
    assert pool.loaded() == ["a"], "the last one stays, however big"
    pool.release(pool.acquire("a"))
    assert pool.order == ["a", "b", "c"]


def test_models_in_use_stay_though_they_grow(pool: Pool):
    held = [pool.acquire(name) for name in "abc"]
    for name in "abc":
        pool.backends[name].memory_bytes = 200
    for name in "abc":
        pool.unpin(pool.pin(name))
    assert pool.loaded() == ["a", "b", "c"]
    pool.release(held[0])
    assert pool.loaded() == ["b", "c"]


def test_a_model_that_grew_is_made_as_much_room_for_again(pool: Pool, want: Want):
    pool.release(pool.acquire("a"))
    pool.backends["a"].memory_bytes = 250
    held = want("b")
    assert pool.loaded() == ["b"]
    assert want("a").waits, "it will hold 250 again"
    held.let_go()
