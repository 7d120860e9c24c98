"""What a job that has ended need not keep."""

from __future__ import annotations

import logging

from hub.jobs.model import Job, Status
from hub.results import FileStore

logger = logging.getLogger(__name__)


def delete_leftovers(job: Job, status: Status, files: FileStore) -> None:
    """Delete what is of no use to a job that ended with `status`: all but the result, or what a resume goes on from.

    What cannot be deleted stays until the next start or until the job is forgotten: the job has ended all the same.
    """
    try:
        if status is Status.FAILED and job.kind.resumable:
            files.delete_result(job)
        elif status in (Status.CANCELLED, Status.FAILED):
            files.delete(job)
    except OSError:
        logger.exception("Job %s: its files could not be deleted.", job.id)
