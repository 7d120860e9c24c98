"""A backend that computes nothing and can be held, and the means to run sessions in threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hub.engine import Engine
from uformer.backends import OutOfMemory

PATIENCE = 60.0


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeBackend:
    """Returns its input as float32; a tile's number is the value of its pixels.

    hold() makes each part of a batch wait until let() permits it; free() ends that.

    pieces: parts of a batch, between which it gives way.

    ran: the numbers of the tiles in each batch, in the order in which the batches were started; threads: by which.
    prepared: the (height, width) that it was steadily prepared for, in that order; held: how often each is held now;
    compiled_by: the threads that prepared.
    fits: more tiles than this in a batch raise OutOfMemory. broken: tile numbers that raise what they map to.
    tile_ms: milliseconds that the clock gains per tile. busy_seconds: what a batch really takes.
    """

    name = "fake"

    def __init__(self, *, largest: int = 4, memory_bytes: int = 100, clock: Clock | None = None) -> None:
        self.largest = largest
        self.memory_bytes = memory_bytes
        self.clock = clock
        self.tile_ms = 0.0
        self.busy_seconds = 0.0
        self.pieces = 1
        self.fits = 1000
        self.broken: dict[int, Exception] = {}
        self.ran: list[list[int]] = []
        self.prepared: list[tuple[int, int]] = []
        self.held: Counter[tuple[int, int]] = Counter()
        self.compiled_by: list[threading.Thread] = []
        self.threads: set[threading.Thread] = set()
        self.closed = False
        self.closed_while_running = False
        self.running = False
        self._held = False
        self._permits = threading.Semaphore(0)

    def hold(self) -> None:
        self._held = True

    def let(self, batches: int) -> None:
        self._permits.release(batches)

    def free(self) -> None:
        self._held = False
        self._permits.release(1)

    def prepare(self, height: int, width: int, *, steady: bool = False) -> None:
        self.compiled_by.append(threading.current_thread())
        self.held[height, width] += 1
        if steady:
            self.prepared.append((height, width))

    def release(self, height: int, width: int) -> None:
        self.held[height, width] -= 1

    def max_batch(self, height: int, width: int) -> int:
        return self.largest

    def run(
        self, batch: NDArray[Any], between: Callable[[], None] | None = None, *, likely: bool = True
    ) -> NDArray[np.float32]:
        numbers = [int(pixels.flat[0]) for pixels in batch]
        self.threads.add(threading.current_thread())
        self.ran.append(numbers)
        if self.busy_seconds:
            time.sleep(self.busy_seconds)
        for piece in range(self.pieces):
            if piece and between is not None:
                between()
            self.running = True
            if self._held:
                assert self._permits.acquire(timeout=PATIENCE)
            self.running = False
            if self.clock is not None:
                self.clock.now += self.tile_ms * len(numbers) / 1000 / self.pieces
        if len(numbers) > self.fits:
            raise OutOfMemory(f"{len(numbers)} tiles do not fit")
        for number in numbers:
            if number in self.broken:
                raise self.broken[number]
        return batch.astype(np.float32)

    def close(self) -> None:
        self.closed = True
        self.closed_while_running |= self.running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> Iterator[FakeBackend]:
    backend = FakeBackend(clock=clock)
    yield backend
    backend.free()


@pytest.fixture
def engine(backend: FakeBackend, clock: Clock) -> Iterator[Engine]:
    """A running engine whose every model is `backend`."""
    engine = Engine(lambda _name: backend, clock=clock)
    engine.start()
    yield engine
    backend.free()
    engine.stop()


@pytest.fixture
def make_backend() -> type[FakeBackend]:
    """The fake backend's class, for tests that need several."""
    return FakeBackend


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Returns once the condition holds; fails after a minute."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the condition never came true"
            time.sleep(0.001)

    return wait


@pytest.fixture
def in_thread() -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Runs work in a thread of its own; all must end before the test does."""
    with ThreadPoolExecutor(max_workers=32) as threads:
        yield threads.submit
