"""The runs of this process, and a way to wait for their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hub.errors import Busy
from hub.jobs.run import Run


class Runs:
    """Runs by their job's id, at most one for each; safe to use from any thread."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._changed = threading.Condition()
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the id of each job that is cancelled or whose run ends, from now on.

        In the thread that ends it, which waits: it must be quick, and not raise.
        """
        self._listeners.append(told)

    @contextmanager
    def hold(self, run: Run) -> Iterator[None]:
        """Let everyone find `run` as long as the block lasts."""
        with self._changed:
            self._runs[run.job.id] = run
        try:
            yield
        finally:
            with self._changed:
                del self._runs[run.job.id]
                self._changed.notify_all()
            self._tell(run.job.id)

    def get(self, job_id: str) -> Run | None:
        """The job's run, if there is one."""
        with self._changed:
            return self._runs.get(job_id)

    def all(self) -> dict[str, Run]:
        """Every run there is now, by its job's id."""
        with self._changed:
            return dict(self._runs)

    def cancel(self, job_id: str) -> bool:
        """Tell the job's run to stop; False if there is none."""
        with self._changed:
            run = self._runs.get(job_id)
            if run is not None:
                run.cancelled.set()
            self._changed.notify_all()
        self._tell(job_id)
        return run is not None

    def await_end(self, job_id: str, timeout: float) -> None:
        """Wait until the job has no run. Raises Busy if it still has one after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: job_id not in self._runs, timeout):
                raise Busy("task_still_stopping", "The task is still stopping; please try again a little later.")

    def await_change(self, timeout: float) -> None:
        """Wait until some run ends or some job is cancelled, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait(timeout)

    def _tell(self, job_id: str) -> None:
        for told in self._listeners:
            told(job_id)
