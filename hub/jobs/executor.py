"""Where jobs run: threads of this process."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from hub.courtesy import step_back

logger = logging.getLogger(__name__)


class Executor(Protocol):
    """A bounded number of workers."""

    def submit(self, run: Callable[[], object]) -> None:
        """Call `run` as soon as a worker is free; first come, first served."""

    def shutdown(self, timeout: float) -> None:
        """Drop what waits, then give running calls at most `timeout` seconds to end."""


class LocalExecutor:
    """Daemon threads: a call that never returns cannot keep the process from ending."""

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"An executor needs at least one worker, not {workers}.")
        self._calls: deque[Callable[[], object]] = deque()
        self._closed = False
        self._changed = threading.Condition()
        # All at once: a system that gives no more threads is met at the hub's start, not when a job waits for one.
        self._threads = [threading.Thread(target=self._work, name=f"job-{n}", daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, run: Callable[[], object]) -> None:
        """Call `run` as soon as a worker is free. Raises RuntimeError after shutdown."""
        with self._changed:
            if self._closed:
                raise RuntimeError("The executor is shut down.")
            self._calls.append(run)
            self._changed.notify()

    def shutdown(self, timeout: float) -> None:
        """Drop what waits, then give running calls at most `timeout` seconds to end."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._calls.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        step_back()
        while (run := self._next()) is not None:
            try:
                run()
            except BaseException:  # A worker must outlive whatever a decoder or a network throws, SystemExit too.
                logger.exception("A job's run raised instead of recording its end.")

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._closed)
            return self._calls.popleft() if self._calls else None
