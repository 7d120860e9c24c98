"""A job as its owner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.jobs.model import Job, Status
from hub.jobs.progress import Progress

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

    progress: 0 to 100; never goes back while the server runs and the job is not resumed.
    queue_position: among the jobs of its kind, 1 is next; None unless pending.
    eta_seconds: from measured progress; None unless processing and measured.
    details: what the run told last, JSON types only; of a clip `frames_done` (int), `frames_total` (int or None) and
    `frames_per_second` (float or None). Empty unless processing, and before the first report.
    resumable: whether `resume` would take the job up again; False unless failed.
    """

    job: Job
    progress: int
    message: str
    queue_position: int | None = None
    eta_seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    resumable: bool = False

    @classmethod
    def of_run(cls, job: Job, progress: Progress) -> JobView:
        """A job that runs in this process."""
        message = progress.message or MESSAGES[job.status]
        return cls(job, progress.percent, message, eta_seconds=progress.eta(), details=progress.details)

    @classmethod
    def of_row(cls, job: Job, *, queue_position: int | None, resumable: bool) -> JobView:
        """A job that does not run here: its row says all there is."""
        message = job.error or MESSAGES[job.status]
        return cls(job, job.progress, message, queue_position=queue_position, resumable=resumable)
