"""What becomes of results: confirmed, looked at, counted, and deleted when nobody needs them any more."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from hub.jobs.lease_rows import LeaseRows
from hub.jobs.manager import JobManager
from hub.jobs.model import Job, Kind
from hub.jobs.store import JobStore
from hub.leases import LeaseTerms, lease_end
from hub.results import FileStore

logger = logging.getLogger(__name__)

MEGABYTE = 1e6


@dataclass(frozen=True)
class Usage:
    """What the hub keeps: results, uploads and working folders, in megabytes of 10^6 bytes."""

    image_cache_mb: float
    video_cache_mb: float
    image_results: int
    video_results: int
    free_mb: float


@dataclass(frozen=True)
class Cleared:
    """What a clean-up did, in results.

    skipped_in_progress_count: jobs that wait or run, and results that are being read.
    skipped_awaiting_download_count: results that are still protected.
    """

    cleared_count: int = 0
    skipped_in_progress_count: int = 0
    skipped_awaiting_download_count: int = 0


class Lifecycle:
    """Keeps results as long as the lease terms say, and deletes them then.

    All that counts is in the jobs table, so neither a restart nor a crash shortens how long anything is kept.

    heard_since: from when on heartbeats could arrive; before, the hub was down.
    """

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        manager: JobManager,
        terms: LeaseTerms,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """clock: the time now, in Unix seconds."""
        self._store = store
        self._rows = LeaseRows(store)
        self._files = files
        self._manager = manager
        self._terms = terms
        self._clock = clock
        self.heard_since = clock()
        self._clearing = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def confirm(self, result_path: str) -> bool:
        """Mark a result as downloaded; True the first time. Raises NotFound for what is no result of a job.

        result_path: the URL path, percent-encoded or not.
        """
        return self._rows.confirm(result_path, self._clock())

    def heartbeat(self, job_id: str) -> None:
        """Say that a result is being looked at. Raises NotFound (`result_not_found`) for a job that has none."""
        self._rows.heartbeat(job_id, self._clock())

    def usage(self) -> Usage:
        """How much is kept; looks at every file."""
        sizes: Counter[Kind] = Counter()
        results: Counter[Kind] = Counter()
        for file in self._files.result_files():
            sizes[file.kind] += file.size
            results[file.kind] += 1
        folders = self._files.folder_sizes()
        for job_id, kind in self._rows.kinds(folders).items():
            sizes[kind] += folders[job_id]
        return Usage(
            image_cache_mb=round(sizes[Kind.IMAGE] / MEGABYTE, 3),
            video_cache_mb=round(sizes[Kind.VIDEO] / MEGABYTE, 3),
            image_results=results[Kind.IMAGE],
            video_results=results[Kind.VIDEO],
            free_mb=round(self._files.free_bytes() / MEGABYTE, 1),
        )

    def clear(self, kinds: Collection[Kind]) -> Cleared:
        """Delete all results of these kinds whose lease has lapsed or that belong to no job; wait for another clear.

        Jobs that ended without a result go too when their time is up, but are not counted. What waits, runs, is being
        read or is still protected stays.
        """
        with self._clearing:
            unfinished = sum(
                number
                for (kind, status), number in self._store.counts().items()
                if kind in kinds and not status.finished
            )
            cleared = sum(
                self._clear_job(job) for jobs in self._rows.due(kinds, self._terms, self._clock()) for job in jobs
            )
            cleared += self._clear_orphans(kinds)
            kept = self._rows.result_count(kinds)
            read = len(self._rows.with_results(kinds, self._files.being_read()))
        return Cleared(cleared, unfinished + read, max(0, kept - read))

    def start(self) -> None:
        """Begin to clean up automatically, where the terms say so."""
        if self._terms.clean_up is not None and self._thread is None:
            self._thread = threading.Thread(target=self._clean_up, name="clean-up", daemon=True)
            self._thread.start()

    def begin_stop(self) -> None:
        """Let the automatic clean-up end; one under way ends after the job at hand."""
        self._stopping.set()

    def stop(self, timeout: float = 1.0) -> None:
        """End the automatic clean-up, and wait for that at most `timeout` seconds."""
        self.begin_stop()
        if self._thread is not None:
            self._thread.join(timeout)

    def _clear_job(self, job: Job) -> bool:
        """Delete a job whose lease has lapsed, if nobody reads it; returns whether a result went."""
        kept = self._clock() < lease_end(job, self._terms, self.heard_since)
        if self._stopping.is_set() or kept or self._files.is_read(job):
            return False
        try:
            return self._manager.collect(job) and job.result_path is not None
        except OSError:  # Its row is gone; what is left of it goes at the next start at the latest.
            logger.exception("Job %s: its files could not be deleted.", job.id)
            return False

    def _clear_orphans(self, kinds: Collection[Kind]) -> int:
        """Delete results that belong to no job; a job's row is there before its result is, and goes before it."""
        files = [file for file in self._files.result_files() if file.kind in kinds]
        known = self._rows.known_secrets({file.secret for file in files})
        cleared = 0
        for file in files:
            if file.secret not in known and not self._stopping.is_set():
                try:
                    cleared += self._files.delete_orphan(file)
                except OSError:
                    logger.exception("The orphaned result %s could not be deleted.", file.path.name)
        return cleared

    def _clean_up(self) -> None:
        """Clear everything again and again.

        Not before viewers have had time for a heartbeat: while the hub was down they could not send any.
        """
        interval = self._terms.clean_up or 0.0
        pause = min(interval, self._terms.heartbeat)
        while not self._stopping.wait(pause):
            pause = interval
            try:
                cleared = self.clear([*Kind])
            except Exception:  # Such as a database that is away: next time it may answer again.
                logger.exception("The clean-up failed; it will be tried again.")
            else:
                if cleared.cleared_count:
                    logger.info("Cleaned up %d results that nobody needs any more.", cleared.cleared_count)
