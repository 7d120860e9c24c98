"""Admits, queues, runs, cancels and carries over jobs; knows no torch and no pixels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from hub.errors import Busy, Conflict, NotFound
from hub.filenames import plain_name
from hub.jobs.admission import Admission, Idempotency
from hub.jobs.executor import Executor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.model import Job, Kind, Status
from hub.jobs.observer import Observer, Witness
from hub.jobs.patience import patiently
from hub.jobs.recovery import recover
from hub.jobs.replacement import replace_result
from hub.jobs.resumption import check_resumable, is_resumable
from hub.jobs.run import Run, taken_back
from hub.jobs.runs import Runs
from hub.jobs.store import Changes, JobStore
from hub.jobs.view import JobView
from hub.logs import task_context
from hub.results import FileStore

__all__ = ["Handler", "Idempotency", "JobContext", "JobManager", "JobView", "Outcome"]

logger = logging.getLogger(__name__)

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
        observer: Observer | None = None,
    ) -> None:
        """handlers, executors: for the same kinds. queue_limit: how many jobs may wait, of all kinds together."""
        if handlers.keys() != executors.keys():
            raise ValueError("Every kind of job needs a handler and an executor.")
        self._store = store
        self._files = files
        self._handlers = handlers
        self._executors = executors
        self._admission = Admission(store, files, handlers, queue_limit=queue_limit)
        self._witness = Witness(observer)
        self._started = False
        self._stopping = threading.Event()
        self._stopped = False
        self._runs = Runs()
        self._reopening = threading.Lock()  # Held by whoever changes a finished job: replaces, resumes or deletes it.

    def start(self) -> None:
        """Take over the data folder, queue what was unfinished, clean up after a crash, begin to work.

        Raises Conflict("data_dir_in_use") if another hub works there.
        """
        self._files.claim()
        try:
            recover(self._store, self._files)
            self._started = True
            self._admission.open()
            for kind in self._handlers:
                for _ in range(self._store.waiting_count(kind)):
                    self._call_worker(kind)
        except BaseException:
            self._files.release()
            raise

    def refusal(self) -> str | None:
        """Why a job sent now would be refused, in words; None if it would be taken. Raises Busy for a lost database."""
        return self._admission.refusal()

    def begin_stop(self) -> None:
        """Accept nothing more, and tell running jobs to stop; `stop` waits for them."""
        self._stopping.set()
        self._admission.close()

    def stop(self, timeout: float = 10.0) -> None:
        """Accept nothing more and put running jobs back into the queue, for the next start.

        Runs that have not ended after `timeout` seconds are left behind: they can no longer publish or finish.
        """
        self.begin_stop()
        if not self._started or self._stopped:
            return
        self._stopped = True
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
        stream: BinaryIO | None,
        *,
        check: Callable[[Path], object] | None = None,
        owner: str = "",
        idempotency: Idempotency | None = None,
    ) -> Job:
        """Accept a job: once this returns, its upload and its row are on disk for good and it will be run.

        stream: the upload; None for kinds of jobs without files. check: looks at the flushed upload before the job is
        accepted; what it raises refuses the job.
        idempotency: if `owner` has sent the same request with the same key before, its job is returned instead,
        however full the queue is, and nothing is kept of this one.
        Raises Busy (queue full, disk full, stopping), TooLarge, InvalidInput for an empty file or a key that was used
        for another request.
        """
        if kind not in self._handlers:
            raise ValueError(f"There is no handler for {kind} jobs.")
        if kind.has_files != (stream is not None):
            raise ValueError(f"{kind} jobs {'need an upload' if kind.has_files else 'have no upload'}.")
        job = Job.new(kind, task, spec, plain_name(filename), owner)
        with task_context(job.id):
            admitted = self._admission.admit(job, stream, check, idempotency)
        if admitted.id == job.id:
            self._call_worker(kind)
        return admitted

    def view(self, job_id: str, kind: Kind | None = None) -> JobView:
        """How the job stands. Raises NotFound for an unknown id, and for a job of another kind than `kind`."""
        # The run is looked up before the row is read: one that ends in between then shows as ended, not as at 0 %.
        run = self._runs.get(job_id)
        job = self._store.get(job_id)
        if kind not in (None, job.kind):
            raise NotFound("task_not_found", f"There is no {kind} task {job_id!r}.")
        return self._view(job, run)

    def views(self, job_ids: Collection[str]) -> Mapping[str, JobView]:
        """As `view`, of many jobs in two queries; those that are unknown are left out."""
        runs = self._runs.all()
        return {view.job.id: view for view in self._views(self._store.several(job_ids), runs)}

    def list(
        self,
        *,
        owner: str | None = None,
        kind: Kind | None = None,
        status: Status | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Sequence[JobView]:
        """At most `limit` jobs, newest first; `before` is the id of the last job of the previous page."""
        runs = self._runs.all()
        jobs = self._store.list(owner=owner, kind=kind, status=status, limit=limit, before=before)
        return self._views(jobs, runs)

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
        self._admission.check_open()
        job = self._store.get(job_id)
        check_resumable(job, self._files)
        self._runs.await_end(job_id, SETTLE_SECONDS)  # The failed run is ending; two of one job must never meet.
        with self._reopening:
            check_resumable(self._store.get(job_id), self._files)
            self._admission.readmit(job)
        self._call_worker(job.kind)
        return self.view(job_id)

    def delete(self, job_id: str, timeout: float = SETTLE_SECONDS) -> None:
        """Cancel the job if need be and remove its files and its row.

        Raises NotFound, or Busy if its run does not end within `timeout` seconds.
        """
        while True:
            job = self.cancel(job_id).job
            self._runs.await_end(job_id, timeout)
            with self._reopening:
                if self._store.statuses([job_id]).get(job_id, Status.CANCELLED).finished:  # Else it was resumed.
                    self._store.delete(job_id)  # First: a crash then leaves files without a job, and never the reverse.
                    self._files.delete(job)
                    return

    def collect(self, job: Job) -> bool:
        """Delete a finished job's row and files, if it still is as `job` says and nobody reads them.

        One whose files someone begins to read this very moment goes too, when they have been read.
        """
        with self._reopening:
            if not job.status.finished or self._runs.get(job.id) is not None or self._files.is_read(job):
                return False
            if not self._store.delete_unchanged(job):
                return False
            self._files.delete(job)
            return True

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
                self._admission.learn(job.kind, run.seconds)
                self._witness.ended(job, status, run.seconds)

    def _record(self, job: Job, status: Status, changes: Changes) -> Status:
        """Write down the end of a run, unless the job was cancelled first; returns how it ended after all."""
        if status is Status.FAILED:
            self._files.delete_result(job)
        record = partial(self._store.transition, job.id, status, expect=Status.PROCESSING, **changes)
        try:
            patiently(record, self._stopping)
        except (Conflict, NotFound):
            return self._standing(job)
        return status

    def _standing(self, job: Job) -> Status:
        """What the row says now; where the job was cancelled or deleted, its files go too."""
        status = patiently(lambda: self._store.statuses([job.id]), self._stopping).get(job.id, Status.CANCELLED)
        if status is Status.CANCELLED:
            self._files.delete(job)
        return status

    def _views(self, jobs: Sequence[Job], runs: Mapping[str, Run]) -> Sequence[JobView]:
        places = self._store.positions([job.id for job in jobs if job.status is Status.PENDING])
        return [self._view(job, runs.get(job.id), places.get(job.id)) for job in jobs]

    def _view(self, job: Job, run: Run | None, place: int | None = None) -> JobView:
        if job.status is Status.PROCESSING and run is not None:
            return JobView.of_run(job, run.progress)
        position = place or self._store.position(job) if job.status is Status.PENDING else None
        return JobView.of_row(job, queue_position=position, resumable=is_resumable(job, self._files))
