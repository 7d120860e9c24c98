from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hub.readers import Readers


def test_what_nobody_reads_is_deleted_at_once() -> None:
    readers, deleted = Readers(), threading.Event()
    readers.retire(["a", "b"], deleted.set)
    assert deleted.is_set()
    assert not readers.retired("a")


def test_the_last_reader_deletes() -> None:
    readers, deleted = Readers(), threading.Event()
    with readers.hold("a") as first, readers.hold("b") as second:
        assert first
        assert second
        assert readers.any(["a"])
        readers.retire(["a", "b"], deleted.set)
        with readers.hold("a") as late:
            assert not late  # It is as good as gone.
        assert readers.retired("a")
        assert not deleted.is_set()
    assert deleted.is_set()
    assert not readers.any(["a", "b"])
    with readers.hold("a") as anew:
        assert anew


def test_readers_of_other_things_keep_nothing() -> None:
    readers, deleted = Readers(), threading.Event()
    with readers.hold("c"):
        readers.retire(["a", "b"], deleted.set)
        assert deleted.is_set()


def test_a_reader_that_fails_has_left() -> None:
    readers = Readers()
    with pytest.raises(KeyError), readers.hold("a"):
        raise KeyError
    assert not readers.any(["a"])


def test_a_deletion_that_fails_is_told_to_whoever_asked_for_it(caplog: pytest.LogCaptureFixture) -> None:
    readers = Readers()

    def fail() -> None:
        raise PermissionError("not yours")

    with pytest.raises(PermissionError):
        readers.retire(["a"], fail)
    with readers.hold("a") as held:
        assert held
        readers.retire(["a"], fail)
    assert "not yours" in caplog.text  # The reader is not told: it has what it wanted.
    assert not readers.retired("a")


def test_readers_and_deletions_that_race() -> None:
    """Whoever found the thing there keeps it; in the end it is gone, whoever was last."""
    chance = random.Random(7)  # noqa: S311 - chance, not secrecy
    for _ in range(50):
        readers, there = Readers(), threading.Event()
        there.set()
        together = threading.Barrier(5)

        def read(delay: float) -> bool:
            together.wait(5)  # noqa: B023 - done with before the next round
            threading.Event().wait(delay)
            with readers.hold("a") as held:  # noqa: B023
                found = held and there.is_set()  # noqa: B023
                threading.Event().wait(delay)
                return not found or there.is_set()  # noqa: B023

        def delete(delay: float) -> bool:
            together.wait(5)  # noqa: B023
            threading.Event().wait(delay)
            readers.retire(["a", "b"], there.clear)  # noqa: B023
            return True

        with ThreadPoolExecutor(5) as pool:
            calls = [pool.submit(call, chance.uniform(0, 0.002)) for call in (read, read, delete, read, read)]
        assert all(call.result() for call in calls)
        assert not there.is_set()
        assert not readers.retired("a")
