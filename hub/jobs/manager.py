"""Admits, queues, runs, cancels and carries over jobs; knows no torch and no pixels."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hub.errors import Conflict, NotFound
from hub.filenames import plain_name
from hub.jobs.admission import Admission, Idempotency
from hub.jobs.executor import Executor
from hub.jobs.handler import Handler, JobContext, Outcome
from hub.jobs.locks import JobLocks
from hub.jobs.model import Job, Kind, Status
from hub.jobs.observer import Observer
from hub.jobs.recovery import recover
from hub.jobs.replacement import replace_result
from hub.jobs.resumption import check_resumable, is_resumable
from hub.jobs.run import Run
from hub.jobs.runner import Runner
from hub.jobs.runs import Runs
from hub.jobs.store import JobStore
from hub.jobs.view import JobView
from hub.logs import task_context
from hub.results import FileStore

__all__ = ["Handler", "Idempotency", "JobContext", "JobManager", "JobView", "Outcome"]

SETTLE_SECONDS = 30.0


class JobManager:
    """Owns every job from its acceptance to its end.

    The table is the queue, and the runner's workers take jobs from it. Status changes are compare-and-set, so of two
    that race (a cancel and a finish) one loses, and the loser cleans up.
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
        self._store = store
        self._files = files
        self._kinds = handlers.keys()
        self._admission = Admission(store, files, handlers, queue_limit=queue_limit)
        self._runs = Runs()
        self._runner = Runner(
            store, files, handlers, executors, self._runs, learn=self._admission.learn, observer=observer
        )
        self._started = False
        self._stopped = False
        # Held by whoever replaces, resumes or deletes a job; never by a run, whose end they may wait for.
        self._reopening = JobLocks()
        self._replacing = threading.Lock()

    def start(self) -> None:
        """Take over the data folder, queue what was unfinished, clean up after a crash, begin to work.

        Raises Conflict("data_dir_in_use") if another hub works there.
        """
        self._files.claim()
        try:
            recover(self._store, self._files)
            self._started = True
            self._admission.open()
            for kind in self._kinds:
                for _ in range(self._store.waiting_count(kind)):
                    self._runner.call(kind)
        except BaseException:
            self._files.release()
            raise

    def refusal(self) -> str | None:
        """Why a job sent now would be refused, in words; None if it would be taken. Raises Busy for a lost database."""
        return self._admission.refusal()

    def waiting(self) -> int:
        """How many jobs wait, of all kinds together. Raises Busy for a lost database."""
        return self._store.waiting_count()

    def begin_stop(self) -> None:
        """Accept nothing more, and tell running jobs to stop; `stop` waits for them."""
        self._admission.close()
        self._runner.begin_stop()

    def stop(self, timeout: float = 10.0) -> None:
        """Accept nothing more and put running jobs back into the queue, for the next start.

        Runs that have not ended after `timeout` seconds are left behind: they can no longer publish or finish.
        """
        self.begin_stop()
        if not self._started or self._stopped:
            return
        self._stopped = True
        try:
            self._runner.stop(timeout)
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
        if kind not in self._kinds:
            raise ValueError(f"There is no handler for {kind} jobs.")
        if kind.has_files != (stream is not None):
            raise ValueError(f"{kind} jobs {'need an upload' if kind.has_files else 'have no upload'}.")
        job = Job.new(kind, task, spec, plain_name(filename), owner)
        with task_context(job.id):
            admitted = self._admission.admit(job, stream, check, idempotency)
        if admitted.id == job.id:
            self._runner.call(kind)
        return admitted

    def knows(self, owner: str, key: str) -> bool:
        """Whether `owner` has a job that he sent with this idempotency key. Raises Busy."""
        return self._admission.knows(owner, key)

    def repeated(self, kind: Kind, owner: str, idempotency: Idempotency | None, stream: BinaryIO | None) -> Job | None:
        """As `submit`, for a request that was sent before; None, reading nothing of `stream`, if it was not."""
        return self._admission.repeated(kind, owner, idempotency, stream)

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
        before: tuple[float, str] | None = None,
    ) -> Sequence[JobView]:
        """At most `limit` jobs, newest first; `before`: `created_at` and id of the last job of the previous page."""
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
        with self._reopening.hold(job_id):
            check_resumable(self._store.get(job_id), self._files)
            # The failed run may still be ending; two of one job must never meet, so nobody resumes it meanwhile.
            self._runs.await_end(job_id, SETTLE_SECONDS)
            self._admission.readmit(job)
        self._runner.call(job.kind)
        return self.view(job_id)

    def delete(self, job_id: str, timeout: float = SETTLE_SECONDS) -> None:
        """Cancel the job if need be and remove its files and its row.

        Raises NotFound, or Busy if its run does not end within `timeout` seconds.
        """
        with self._reopening.hold(job_id):
            job = self.cancel(job_id).job
            self._runs.await_end(job_id, timeout)
            self._store.delete(job_id)  # First: a crash then leaves files without a job, and never the reverse.
            self._files.delete(job)

    def collect(self, job: Job) -> bool:
        """Delete a finished job's row and files, if it still is as `job` says and nobody reads them.

        One whose files someone begins to read this very moment goes too, when they have been read.
        """
        with self._reopening.hold(job.id):
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
        with self._replacing, self._reopening.hold(job_id):
            return self._view(replace_result(self._store.get(job_id), make, self._store, self._files), None)

    def listen(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the id of each job that ends or is put back from now on, perhaps twice: be quick."""
        self._runs.listen(told)

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

    def _views(self, jobs: Sequence[Job], runs: Mapping[str, Run]) -> Sequence[JobView]:
        places = self._store.positions([job.id for job in jobs if job.status is Status.PENDING])
        return [self._view(job, runs.get(job.id), places.get(job.id)) for job in jobs]

    def _view(self, job: Job, run: Run | None, place: int | None = None) -> JobView:
        if job.status is Status.PROCESSING and run is not None:
            return JobView.of_run(job, run.progress)
        position = place or self._store.position(job) if job.status is Status.PENDING else None
        return JobView.of_row(job, queue_position=position, resumable=is_resumable(job, self._files))
