"""Each way runs in a process of its own: it shares no memory, thread pool or allocator with the others."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
import torch

from uformer.benchmark.ways import Way, open_way, timed


class WorkerFailed(Exception):
    """What a way was asked to do failed; the message says why."""


class Worker:
    """A way and a network in a process of its own, asked for one measurement at a time."""

    def __init__(self, way: Way, variant: str, threads: int | None) -> None:
        """Returns at once; the first question waits for the network."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way, variant, threads), daemon=True)
        self._process.start()
        theirs.close()

    def tile(self, side: int) -> tuple[float, int]:
        """Seconds for a batch of square tiles, and how many those were: the best number for this way."""
        seconds, count = self._ask("tile", side)
        return float(seconds), int(count)

    def image(self, height: int, width: int) -> float:
        """Seconds to restore an image of that size."""
        return float(self._ask("image", height, width))

    def peak_bytes(self) -> int:
        """Most memory so far: of the GPU if it computes there, else resident memory of its process."""
        return int(self._ask("memory"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def _ask(self, *question: Any) -> Any:
        """Raises WorkerFailed."""
        try:
            self._connection.send(question)
            answer, problem = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerFailed(f"its process ended with status {self._process.exitcode}") from error
        if problem is not None:
            raise WorkerFailed(problem)
        return answer


def _serve(connection: Connection, way: Way, variant: str, threads: int | None) -> None:
    """Answer until the process is killed or nobody asks any more."""
    opened = None
    random = np.random.default_rng(0)
    while True:
        try:
            question, *details = connection.recv()
        except EOFError:
            return
        try:
            opened = opened or open_way(way, variant, threads)
            answer: Any
            if question == "tile":
                [side] = details
                batch = random.integers(0, 256, (opened.best_batch(side), side, side, 3), np.uint8)
                answer = timed(lambda: opened.run(batch), time.perf_counter), len(batch)  # noqa: B023 - called at once
            elif question == "image":
                image = random.integers(0, 256, (*details, 3), np.uint8)
                opened.prepare(*details)
                answer = timed(lambda: opened.restore(image), time.perf_counter)  # noqa: B023 - called at once
            else:
                answer = _peak_bytes(way.device)
        except (RuntimeError, ValueError, MemoryError) as error:
            connection.send((None, f"{type(error).__name__}: {error}"))
        else:
            connection.send((answer, None))


def _peak_bytes(device: str) -> int:
    if device != "cpu":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
