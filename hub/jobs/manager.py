"""Admits, queues, runs, cancels and carries over jobs; knows no torch and no pixels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hub.errors import Busy, Conflict, NotFound
from hub.filenames import plain_name
from hub.jobs.executor import Executor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.model import Job, Kind, Status
from hub.jobs.recovery import recover
from hub.jobs.replacement import replace_result
from hub.jobs.run import Run, taken_back
from hub.jobs.store import Changes, JobStore
from hub.results import FileStore

__all__ = ["Handler", "JobContext", "JobManager", "JobView", "Outcome"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_RETRY_SECONDS = 1.0
MESSAGES = {
    Status.PENDING: "Waiting in the queue.",
    Status.PROCESSING: "Processing...",
    Status.COMPLETED: "Done.",
    Status.FAILED: "Failed.",
    Status.CANCELLED: "Cancelled.",
}


@dataclass(frozen=True)
class JobView:
    """A job as a client sees it now.

    progress: 0 to 100; never goes back while the server runs.
    queue_position: 1 is next; None unless pending.
    eta_seconds: from measured progress; None unless processing and measured.
    """

    job: Job
    progress: int
    message: str
    queue_position: int | None = None
    eta_seconds: float | None = None


class JobManager:
    """Owns every job from its acceptance to its end.

    The table is the queue: for every pending job the executor holds one call to `_run_next`, which takes whichever
    job's turn it is. Status changes are compare-and-set, so of two that race (a cancel and a finish) one loses, and
    the loser cleans up.
    """

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        handlers: Mapping[Kind, Handler],
        executor: Executor,
        *,
        queue_limit: int,
    ) -> None:
        self._store = store
        self._files = files
        self._handlers = handlers
        self._executor = executor
        self._queue_limit = queue_limit
        self._started = False
        self._stopping = threading.Event()
        self._runs: dict[str, Run] = {}
        self._changed = threading.Condition()  # Guards _runs; notified when a run or a job ends.
        self._replacing = threading.Lock()
        self._mean_seconds = 10.0  # Of a run, for Retry-After.

    def start(self) -> None:
        """Take over the data folder, queue what was unfinished, clean up after a crash, begin to work.

        Raises Conflict("data_dir_in_use") if another hub works there.
        """
        self._files.claim()
        try:
            recover(self._store, self._files)
            self._started = True
            for _ in range(self._store.waiting_count()):
                self._executor.submit(self._run_next)
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
        self._executor.shutdown(timeout)
        with self._changed:
            left = [run.job for run in self._runs.values()]
        try:
            for job in left:
                with suppress(Conflict, NotFound):  # It has just ended after all.
                    self._store.transition(job.id, Status.PENDING, expect=Status.PROCESSING, **taken_back(job))
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
            raise self._queue_full()  # Before the upload is copied; decided for good by the insert.
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
            raise self._queue_full()
        with suppress(RuntimeError):  # Stopped this very moment: the next start will run it.
            self._executor.submit(self._run_next)
        return job

    def view(self, job_id: str, kind: Kind | None = None) -> JobView:
        """How the job stands. Raises NotFound for an unknown id, and for a job of another kind than `kind`."""
        # The run is looked up before the row is read: one that ends in between then shows as ended, not as at 0 %.
        run = self._run_of(job_id)
        job = self._store.get(job_id)
        if kind not in (None, job.kind):
            raise NotFound("task_not_found", f"There is no {kind} task {job_id!r}.")
        return self._view(job, run)

    def list(self, *, kind: Kind | None = None, limit: int = 50, before: str | None = None) -> Sequence[JobView]:
        """At most `limit` jobs, newest first; `before` is the id of the last job of the previous page."""
        with self._changed:
            runs = dict(self._runs)
        return [self._view(job, runs.get(job.id)) for job in self._store.list(kind=kind, limit=limit, before=before)]

    def cancel(self, job_id: str) -> JobView:
        """Cancel a pending or running job; a finished one stays as it is. Raises NotFound."""
        while not (job := self._store.get(job_id)).status.finished:
            run = self._run_of(job_id)
            progress = run.progress.percent if run else 0
            try:
                self._store.transition(
                    job_id, Status.CANCELLED, expect=job.status, finished_at=time.time(), progress=progress
                )
            except Conflict:
                continue  # It was taken from the queue or ended meanwhile; look again.
            # Only now is it certain who cleans up: a run that is known here, or one that begins later and then finds
            # the row cancelled, deletes the files when it ends.
            with self._changed:
                run = self._runs.get(job_id)
                if run is not None:
                    run.cancelled.set()
            if run is None:
                self._files.delete(job)
            with self._changed:
                self._changed.notify_all()
        return self._view(job, None)

    def delete(self, job_id: str, timeout: float = 30.0) -> None:
        """Cancel the job if need be and remove its files and its row.

        Raises NotFound, or Busy if its run does not end within `timeout` seconds.
        """
        job = self.cancel(job_id).job
        with self._changed:
            if not self._changed.wait_for(lambda: job_id not in self._runs, timeout):
                raise Busy("task_still_stopping", "The task is cancelled but still stopping; delete it a little later.")
        with self._replacing:
            self._files.delete(job)
            self._store.delete(job_id)

    def replace_result(self, job_id: str, make: Handler) -> JobView:
        """Let `make` make another result of a completed job; one at a time, since that takes memory.

        Row and files change together. Raises NotFound, Busy, Conflict, and what `make` raises; then nothing changed.
        """
        with self._replacing:
            return self._view(replace_result(self._store.get(job_id), make, self._store, self._files), None)

    def wait(self, job_id: str, timeout: float) -> JobView:
        """Wait until the job has ended and its run has cleaned up. Raises NotFound, TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                running = job_id in self._runs
            view = self.view(job_id)
            if view.job.status.finished and not running:
                return view
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Task {job_id} is still {view.job.status} after {timeout:g} seconds.")
            with self._changed:
                self._changed.wait(min(left, 0.2))

    def _run_next(self) -> None:
        """Run the job whose turn it is, if any, to its end."""
        if self._stopping.is_set():
            return
        try:
            job = self._patiently(lambda: self._store.claim_next(tuple(self._handlers)))
            if job is not None:
                self._run(job)
        except Busy:
            logger.warning("The database is away at shutdown; the next start settles what could not be recorded.")

    def _run(self, job: Job) -> None:
        run = Run(job, self._stopping)
        with self._changed:
            self._runs[job.id] = run
        try:
            if self._goes_on(job):
                status, changes = run.perform(self._handlers[job.kind], self._files)
                self._record(job, status, changes)
                self._mean_seconds += 0.2 * (run.seconds - self._mean_seconds)
        finally:
            with self._changed:
                del self._runs[job.id]
                self._changed.notify_all()

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

    def _run_of(self, job_id: str) -> Run | None:
        with self._changed:
            return self._runs.get(job_id)

    def _view(self, job: Job, run: Run | None) -> JobView:
        if job.status is Status.PROCESSING and run is not None:
            message = run.progress.message or MESSAGES[job.status]
            return JobView(job, run.progress.percent, message, eta_seconds=run.progress.eta())
        position = self._store.position(job) if job.status is Status.PENDING else None
        return JobView(job, job.progress, job.error or MESSAGES[job.status], queue_position=position)

    def _refuse_when_closed(self) -> None:
        if not self._started or self._stopping.is_set():
            raise Busy("not_accepting", "The hub is starting or stopping; please try again in a moment.")

    def _queue_full(self) -> Busy:
        message = f"{self._queue_limit} tasks are waiting already; please try again later."
        return Busy("queue_full", message, retry_after=max(1, min(300, round(self._mean_seconds))))
