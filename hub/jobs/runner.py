"""Has jobs run, one call of a worker for each that waits, and sees to it that every run's end is recorded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from hub.errors import Busy, Conflict, NotFound
from hub.jobs.executor import Executor
from hub.jobs.handler import Handler
from hub.jobs.leftovers import delete_leftovers
from hub.jobs.model import Job, Kind, Status
from hub.jobs.observer import Observer, Witness
from hub.jobs.patience import patiently
from hub.jobs.run import Run, failed_unexpectedly, taken_back
from hub.jobs.runs import Runs
from hub.jobs.store import Changes, JobStore
from hub.logs import task_context
from hub.results import FileStore

logger = logging.getLogger(__name__)


class Runner:
    """Takes jobs from the queue and runs them.

    For every pending job the executor of its kind holds one call to `_run_next`, which takes whichever job of that kind
    is next. Each kind has workers of its own, so that long clips never keep photos waiting.
    """

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        handlers: Mapping[Kind, Handler],
        executors: Mapping[Kind, Executor],
        runs: Runs,
        *,
        learn: Callable[[Kind, float], None],
        observer: Observer | None,
    ) -> None:
        """handlers, executors: for the same kinds. learn: told how many seconds each run took."""
        if handlers.keys() != executors.keys():
            raise ValueError("Every kind of job needs a handler and an executor.")
        self._store = store
        self._files = files
        self._handlers = handlers
        self._executors = executors
        self._runs = runs
        self._learn = learn
        self._witness = Witness(observer)
        self._stopping = threading.Event()

    def call(self, kind: Kind) -> None:
        """Have a worker look after one more pending job of `kind`."""
        with suppress(RuntimeError):  # Stopped this very moment: the next start will run it.
            self._executors[kind].submit(partial(self._run_next, kind))

    def begin_stop(self) -> None:
        """Begin no more runs, and tell those under way to stop."""
        self._stopping.set()

    def stop(self, timeout: float) -> None:
        """Wait for runs to stop, and put those that have not after `timeout` seconds back into the queue.

        They are left behind: they can no longer publish or finish.
        """
        self.begin_stop()
        deadline = time.monotonic() + timeout
        for executor in self._executors.values():
            executor.shutdown(max(0.0, deadline - time.monotonic()))
        try:
            for job_id, run in self._runs.all().items():
                with suppress(Conflict, NotFound):  # It has just ended after all.
                    self._store.transition(job_id, Status.PENDING, expect=Status.PROCESSING, **taken_back(run.job))
        except Busy:
            logger.warning("The database is away at shutdown; the next start will find these jobs interrupted.")

    def _run_next(self, kind: Kind) -> None:
        """Run the job of `kind` whose turn it is, if any, to its end."""
        if self._stopping.is_set():
            return
        try:
            job = patiently(lambda: self._store.claim_next(kind), self._stopping)
            if job is not None:
                self._run(job)
        except Busy:
            logger.warning("The database is away at shutdown; the next start settles what could not be recorded.")

    def _run(self, job: Job) -> None:
        run = Run(job, self._stopping)
        with task_context(job.id), self._runs.hold(run):
            if self._standing(job) is Status.PROCESSING:
                self._witness.began(job)
                status, changes = run.perform(self._handlers[job.kind], self._files, self._store.forgive)
                status = self._record(job, status, changes)
                self._learn(job.kind, run.seconds)
                self._witness.ended(job, status, run.seconds)

    def _record(self, job: Job, status: Status, changes: Changes) -> Status:
        """Write down the end of a run, unless the job was cancelled first; returns how it ended after all."""
        move = partial(self._store.transition, job.id, expect=Status.PROCESSING)

        def record() -> Status:
            try:
                return move(status, **changes).status
            except (Busy, Conflict, NotFound):
                raise
            except Exception:  # Such as a value that this database does not take.
                logger.exception("Job %s: its end could not be recorded as it was.", job.id)
                return move(Status.FAILED, **failed_unexpectedly()).status

        try:
            recorded = patiently(record, self._stopping)
        except (Conflict, NotFound):
            return self._standing(job)
        delete_leftovers(job, recorded, self._files)
        return recorded

    def _standing(self, job: Job) -> Status:
        """What the row says now; where the job was cancelled or deleted, its files go too."""
        status = patiently(lambda: self._store.statuses([job.id]), self._stopping).get(job.id, Status.CANCELLED)
        if status is Status.CANCELLED:
            delete_leftovers(job, status, self._files)
        return status
