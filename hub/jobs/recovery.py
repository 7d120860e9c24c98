"""Settles, before a hub begins to work, what the one before it left behind."""

from __future__ import annotations

import logging
import time

from hub.jobs.leftovers import delete_leftovers
from hub.jobs.model import Job, Status
from hub.jobs.replacement import finish_replacement
from hub.jobs.store import JobStore
from hub.results import FileStore

logger = logging.getLogger(__name__)

# A job during which the server died may be what killed it, or may only have run beside what did. So it is tried again
# at its old place, then behind all others, and given up only when nothing but itself can be to blame.
INTERRUPTIONS_IN_PLACE = 3
MAX_INTERRUPTIONS = 25


def recover(store: JobStore, files: FileStore) -> None:
    """Queue interrupted jobs again and delete what no job owns; nothing may be uploading or running."""
    for job in store.unfinished():
        if job.status is Status.PROCESSING:
            _settle_interrupted(job, store)
    statuses = store.statuses(files.stored_ids())
    for job_id, status in statuses.items():
        if status in (Status.CANCELLED, Status.FAILED):  # The process died between the end and the clean-up.
            delete_leftovers(store.get(job_id), status, files)
        elif status is Status.COMPLETED:
            finish_replacement(store.get(job_id), store, files)
    files.sweep(statuses.keys())


def _settle_interrupted(job: Job, store: JobStore) -> None:
    if job.attempts >= MAX_INTERRUPTIONS:
        logger.error("Job %s: given up after %d interrupted runs.", job.id, job.attempts)
        store.transition(
            job.id,
            Status.FAILED,
            expect=Status.PROCESSING,
            finished_at=time.time(),
            error_code="interrupted",
            error=f"The server stopped {job.attempts} times while it worked on this file, so it was given up."
            + (" Resume it to go on from what is done." if job.kind.resumable else ""),
        )
        return
    logger.warning("Job %s: interrupted in run %d; queued again.", job.id, job.attempts)
    turn = job.turn if job.attempts < INTERRUPTIONS_IN_PLACE else time.time_ns()
    store.transition(job.id, Status.PENDING, expect=Status.PROCESSING, turn=turn, started_at=None)
