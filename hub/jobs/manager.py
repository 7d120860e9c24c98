"""Admits, queues, runs, cancels and carries over jobs; knows no torch and no pixels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hub.errors import Busy, Conflict, NotFound
from hub.filenames import plain_name
from hub.jobs.executor import Executor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.model import Job, Kind, Status
from hub.jobs.recovery import recover
from hub.jobs.replacement import replace_result
from hub.jobs.resumption import check_resumable, is_resumable
from hub.jobs.run import Run, taken_back
from hub.jobs.runs import Runs
from hub.jobs.store import Changes, JobStore
from hub.jobs.view import MESSAGES, JobView
from hub.results import FileStore

__all__ = ["Handler", "JobContext", "JobManager", "JobView", "Outcome"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_RETRY_SECONDS = 1.0
FIRST_GUESS_SECONDS = 10.0
SETTLE_SECONDS = 30.0


class JobManager:
    """Owns every job from its acceptance to its end.

    The table is the queue: for every pending job the executor of its kind holds one call to `_run_next`, which takes
    whichever job of that kind is next. Each kind has workers of its own, so that long clips never keep photos waiting.
    Status changes are compare-and-set, so of two that race (a cancel and a finish) one loses, and the loser cleans up.
    """

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        handlers: Mapping[Kind, Handler],
        executors: Mapping[Kind, Executor],
        *,
        queue_limit: int,
    ) -> None:
        """handlers, executors: for the same kinds. queue_limit: how many jobs may wait, of all kinds together."""
        if handlers.keys() != executors.keys():
            raise ValueError("Every kind of job needs a handler and an executor.")
        self._store = store
        self._files = files
        self._handlers = handlers
        self._executors = executors
        self._queue_limit = queue_limit
        self._started = False
        self._stopping = threading.Event()
        self._runs = Runs()
        self._reopening = threading.Lock()  # Held by whoever changes a finished job: replaces, resumes or deletes it.
        self._mean_seconds = dict.fromkeys(handlers, FIRST_GUESS_SECONDS)  # Of a run, for Retry-After.

    def start(self) -> None:
        """Take over the data folder, queue what was unfinished, clean up after a crash, begin to work.

        Raises Conflict("data_dir_in_use") if another hub works there.
        """
        self._files.claim()
        try:
            recover(self._store, self._files)
            self._started = True
            for kind in self._handlers:
                for _ in range(self._store.waiting_count(kind)):
                    self._call_worker(kind)
        except BaseException:
            self._files.release()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        """Accept nothing more and put running jobs back into the queue, for the next start.

        Runs that have not ended after `timeout` seconds are left behind: they can no longer publish or finish.
        """
        if not self._started or self._stopping.is_set():
            return
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for executor in self._executors.values():
            executor.shutdown(max(0.0, deadline - time.monotonic()))
        try:
            for job_id, run in self._runs.all().items():
                with suppress(Conflict, NotFound):  # It has just ended after all.
                    self._store.transition(job_id, Status.PENDING, expect=Status.PROCESSING, **taken_back(run.job))
        except Busy:
            logger.warning("The database is away at shutdown; the next start will find these jobs interrupted.")
        finally:
            self._files.release()

    def submit(
        self,
        kind: Kind,
        task: str,
        spec: Mapping[str, Any],
        filename: str,
        stream: BinaryIO,
        *,
        check: Callable[[Path], object] | None = None,
    ) -> Job:
        """Accept a job: once this returns, its upload and its row are on disk for good and it will be run.

        check: looks at the flushed upload before the job is accepted; what it raises refuses the job.
        Raises Busy (queue full, disk full, stopping), TooLarge, InvalidInput for an empty file.
        """
        if kind not in self._handlers:
            raise ValueError(f"There is no handler for {kind} jobs.")
        self._refuse_when_closed()
        if self._store.waiting_count() >= self._queue_limit:
            raise self._queue_full(kind)  # Before the upload is copied; decided for good by the insert.
        job = Job.new(kind, task, spec, plain_name(filename))
        path = self._files.save_upload(job.id, job.filename, stream)
        try:
            if check is not None:
                check(path)
            self._refuse_when_closed()
            added = self._store.add(job, limit=self._queue_limit)
        except BaseException:
            self._files.delete(job)
            raise
        if not added:
            self._files.delete(job)
            raise self._queue_full(kind)
        self._call_worker(kind)
        return job

    def view(self, job_id: str, kind: Kind | None = None) -> JobView:
        """How the job stands. Raises NotFound for an unknown id, and for a job of another kind than `kind`."""
        # The run is looked up before the row is read: one that ends in between then shows as ended, not as at 0 %.
        run = self._runs.get(job_id)
        job = self._store.get(job_id)
        if kind not in (None, job.kind):
            raise NotFound("task_not_found", f"There is no {kind} task {job_id!r}.")
        return self._view(job, run)

    def list(self, *, kind: Kind | None = None, limit: int = 50, before: str | None = None) -> Sequence[JobView]:
        """At most `limit` jobs, newest first; `before` is the id of the last job of the previous page."""
        runs = self._runs.all()
        return [self._view(job, runs.get(job.id)) for job in self._store.list(kind=kind, limit=limit, before=before)]

    def cancel(self, job_id: str) -> JobView:
        """Cancel a pending or running job; a finished one stays as it is. Raises NotFound."""
        while not (job := self._store.get(job_id)).status.finished:
            run = self._runs.get(job_id)
            progress = run.progress.percent if run else 0
            try:
                self._store.transition(
                    job_id, Status.CANCELLED, expect=job.status, finished_at=time.time(), progress=progress
                )
            except Conflict:
                continue  # It was taken from the queue or ended meanwhile; look again.
            # Only now is it certain who cleans up: a run that is known here, or one that begins later and then finds
            # the row cancelled, deletes the files when it ends.
            if not self._runs.cancel(job_id):
                self._files.delete(job)
        return self._view(job, None)

    def resume(self, job_id: str) -> JobView:
        """Queue a failed video again, behind all that wait; its handler finds what the earlier runs have kept.

        Raises NotFound, Conflict (`not_resumable`) that says what would be right, Busy (queue full, stopping).
        """
        self._refuse_when_closed()
        job = self._store.get(job_id)
        check_resumable(job, self._files)
        self._await_run(job_id, SETTLE_SECONDS)  # The failed run is at its very end; two of one job must never meet.
        with self._reopening:
            check_resumable(self._store.get(job_id), self._files)
            if not self._store.requeue(job_id, limit=self._queue_limit):
                raise self._queue_full(job.kind)
        self._call_worker(job.kind)
        return self.view(job_id)

    def delete(self, job_id: str, timeout: float = SETTLE_SECONDS) -> None:
        """Cancel the job if need be and remove its files and its row.

        Raises NotFound, or Busy if its run does not end within `timeout` seconds.
        """
        while True:
            job = self.cancel(job_id).job
            self._await_run(job_id, timeout)
            with self._reopening:
                if self._store.get(job_id).status.finished:  # Else it was resumed in between.
                    self._files.delete(job)
                    self._store.delete(job_id)
                    return

    def replace_result(self, job_id: str, make: Handler) -> JobView:
        """Let `make` make another result of a completed job; one at a time, since that takes memory.

        Row and files change together. Raises NotFound, Busy, Conflict, and what `make` raises; then nothing changed.
        """
        with self._reopening:
            return self._view(replace_result(self._store.get(job_id), make, self._store, self._files), None)

    def wait(self, job_id: str, timeout: float) -> JobView:
        """Wait until the job has ended and its run has cleaned up. Raises NotFound, TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            running = self._runs.get(job_id) is not None
            view = self.view(job_id)
            if view.job.status.finished and not running:
                return view
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Task {job_id} is still {view.job.status} after {timeout:g} seconds.")
            self._runs.await_change(min(left, 0.2))

    def _call_worker(self, kind: Kind) -> None:
        """Have a worker look after one more pending job of `kind`."""
        with suppress(RuntimeError):  # Stopped this very moment: the next start will run it.
            self._executors[kind].submit(partial(self._run_next, kind))

    def _run_next(self, kind: Kind) -> None:
        """Run the job of `kind` whose turn it is, if any, to its end."""
        if self._stopping.is_set():
            return
        try:
            job = self._patiently(lambda: self._store.claim_next(kind))
            if job is not None:
                self._run(job)
        except Busy:
            logger.warning("The database is away at shutdown; the next start settles what could not be recorded.")

    def _run(self, job: Job) -> None:
        run = Run(job, self._stopping)
        with self._runs.hold(run):
            if self._goes_on(job):
                status, changes = run.perform(self._handlers[job.kind], self._files, self._store.forgive)
                self._record(job, status, changes)
                self._mean_seconds[job.kind] += 0.2 * (run.seconds - self._mean_seconds[job.kind])

    def _record(self, job: Job, status: Status, changes: Changes) -> None:
        """Write down the end of a run, unless the job was cancelled first."""
        if status is Status.FAILED:
            self._files.delete_result(job)
        try:
            self._patiently(lambda: self._store.transition(job.id, status, expect=Status.PROCESSING, **changes))
        except (Conflict, NotFound):
            self._goes_on(job)

    def _goes_on(self, job: Job) -> bool:
        """Whether the row still says that the job runs; where it was cancelled or deleted, its files go too."""
        status = self._patiently(lambda: self._store.statuses([job.id])).get(job.id)
        if status in (None, Status.CANCELLED):
            self._files.delete(job)
        return status is Status.PROCESSING

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call the store until the database answers. Raises Busy only when the hub is stopping."""
        while True:
            try:
                return call()
            except Busy:
                if self._stopping.wait(DATABASE_RETRY_SECONDS):
                    raise
                logger.warning("The jobs database does not answer; trying again.", exc_info=True)

    def _await_run(self, job_id: str, timeout: float) -> None:
        """Wait until no run of a finished job is left. Raises Busy."""
        if not self._runs.await_end(job_id, timeout):
            raise Busy("task_still_stopping", "The task is still stopping; please try again a little later.")

    def _view(self, job: Job, run: Run | None) -> JobView:
        if job.status is Status.PROCESSING and run is not None:
            progress = run.progress
            message = progress.message or MESSAGES[job.status]
            return JobView(job, progress.percent, message, eta_seconds=progress.eta(), details=progress.details)
        position = self._store.position(job) if job.status is Status.PENDING else None
        return JobView(
            job,
            job.progress,
            job.error or MESSAGES[job.status],
            queue_position=position,
            resumable=is_resumable(job, self._files),
        )

    def _refuse_when_closed(self) -> None:
        if not self._started or self._stopping.is_set():
            raise Busy("not_accepting", "The hub is starting or stopping; please try again in a moment.")

    def _queue_full(self, kind: Kind) -> Busy:
        message = f"{self._queue_limit} tasks are waiting already; please try again later."
        return Busy("queue_full", message, retry_after=max(1, min(300, round(self._mean_seconds[kind]))))
