"""What the state machine of jobs' lives knows of one job, and the handler that does as it is told."""

from __future__ import annotations

import contextlib
import queue
from dataclasses import dataclass, field

from hub.errors import HubError
from hub.jobs.handler import JobContext, Outcome
from hub.jobs.model import Job, Kind, Status

from .bench import TERMS, copy_upload


@dataclass
class Model:
    """What the test knows of one job. Times in seconds of the test's own clock."""

    job: Job
    content: bytes
    key: str | None
    status: Status = Status.PENDING
    ended: int = 0
    heartbeat: int | None = None
    confirmed: int | None = None
    readers: list[contextlib.ExitStack] = field(default_factory=list)

    @property
    def has_result(self) -> bool:
        return self.status is Status.COMPLETED

    @property
    def has_folders(self) -> bool:
        failed = self.status is Status.FAILED and not self.job.kind.resumable
        return not failed and self.status is not Status.CANCELLED

    def lapsed(self, now: int, heard_since: int) -> bool:
        """The contract's rules once more, in other words."""
        if not self.has_result:
            return now - self.ended > TERMS.failed
        if self.confirmed is not None:
            return now - self.confirmed > TERMS.downloaded[self.job.kind]
        if self.heartbeat is not None and now - max(self.heartbeat, heard_since) < TERMS.heartbeat:
            return False
        return now - self.ended > TERMS.abandoned


class Directed:
    """A handler that tells that it has begun, and ends as it is told to."""

    def __init__(self) -> None:
        self.begun: dict[Kind, queue.Queue[tuple[str, queue.Queue[bool]]]] = {kind: queue.Queue() for kind in Kind}

    def __call__(self, context: JobContext) -> Outcome:
        context.keep("segment", lambda path: path.write_bytes(b"frames"))
        answers: queue.Queue[bool] = queue.Queue()
        self.begun[context.job.kind].put((context.job.id, answers))
        while True:
            context.check_cancelled()
            with contextlib.suppress(queue.Empty):
                if answers.get(timeout=0.002):
                    return copy_upload(context)
                copy_upload(context)
                raise HubError("broken", "Broken.")
