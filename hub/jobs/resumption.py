"""Which jobs can be resumed, and what to do with the others."""

from __future__ import annotations

from hub.errors import Conflict
from hub.jobs.model import Job, Status
from hub.results import FileStore

_MESSAGES = {
    Status.PENDING: "The task is waiting in the queue and will go on by itself; there is nothing to resume.",
    Status.PROCESSING: "The task is running; there is nothing to resume.",
    Status.COMPLETED: "The task is completed; there is nothing to resume.",
    Status.CANCELLED: "The task was cancelled, and nothing of it was kept; please send the file again.",
}


def is_resumable(job: Job, files: FileStore) -> bool:
    """Whether the job has failed and can go on from what its runs have kept."""
    return job.status is Status.FAILED and job.kind.resumable and files.has_upload(job.id)


def check_resumable(job: Job, files: FileStore) -> None:
    """Raise Conflict (`not_resumable`) that says what would be right, unless the job is resumable."""
    if is_resumable(job, files):
        return
    if job.status is not Status.FAILED:
        message = _MESSAGES[job.status]
    elif not job.kind.has_files:
        message = "Only a video can be resumed; please start the installation again."
    elif not job.kind.resumable:
        message = f"Only a video can be resumed; please send the {job.kind} again."
    else:
        message = "The uploaded file is no longer on the server; please send it again."
    raise Conflict("not_resumable", message, {"task_status": str(job.status)})
