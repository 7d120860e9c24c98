"""One run of one job: calls the handler and says how it ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from hub.errors import Busy, HubError
from hub.jobs.handler import Handler, JobContext
from hub.jobs.model import Job, Status
from hub.jobs.progress import Progress
from hub.jobs.store import Changes
from hub.results import FileStore

logger = logging.getLogger(__name__)


class Run:
    """A job while it runs in this process.

    cancelled: set when its owner cancelled it.
    stopping: set when the hub stops; shared by all runs.
    """

    def __init__(self, job: Job, stopping: threading.Event) -> None:
        self.job = job
        self.progress = Progress()
        self.cancelled = threading.Event()
        self._stopping = stopping
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the run has been going."""
        return time.monotonic() - self._begun

    def perform(self, handler: Handler, files: FileStore, forgive: Callable[[str], None]) -> tuple[Status, Changes]:
        """Call the handler; return the status to which the job is to move, and what is to be recorded with it.

        forgive: called with the job's id when the handler has kept a part of the work for good.

        Nothing is raised: whatever a decoder or a network throws, SystemExit too, is how the job ended.
        """
        try:
            context = JobContext(
                self.job,
                files,
                progress=self.progress,
                cancelled=self._must_stop,
                advanced=lambda: self._advanced(forgive),
            )
            outcome = handler(context)
            if self.job.kind.has_files:
                files.resolve(outcome.result_path or "")
        except HubError as error:
            if self._must_stop():
                return self._stopped()
            logger.info("Job %s: failed: %s: %s", self.job.id, error.code, error.message)
            return self._failed(error.code, error.message)
        except BaseException:
            if self._must_stop():
                logger.info("Job %s: raised while it was being stopped.", self.job.id, exc_info=True)
                return self._stopped()
            logger.exception("Job %s: failed unexpectedly.", self.job.id)
            return Status.FAILED, {**failed_unexpectedly(), "progress": self.progress.percent}
        logger.info("Job %s: done in %.1f s.", self.job.id, self.seconds)
        return Status.COMPLETED, {
            "finished_at": time.time(),
            "progress": 100,
            "result_path": outcome.result_path,
            "result": outcome.result,
        }

    def _must_stop(self) -> bool:
        return self.cancelled.is_set() or self._stopping.is_set()

    def _advanced(self, forgive: Callable[[str], None]) -> None:
        if self.job.attempts > 1:
            try:
                forgive(self.job.id)
            except Busy:
                logger.warning("Job %s: its progress could not be recorded.", self.job.id)
            else:
                self.job = replace(self.job, attempts=1)

    def _stopped(self) -> tuple[Status, Changes]:
        if self.cancelled.is_set():
            return Status.CANCELLED, {"finished_at": time.time(), "progress": self.progress.percent}
        return Status.PENDING, taken_back(self.job)

    def _failed(self, code: str, message: str) -> tuple[Status, Changes]:
        return Status.FAILED, {
            "finished_at": time.time(),
            "progress": self.progress.percent,
            "error_code": code,
            # A message may quote a file's bytes; databases take neither lone surrogates nor NUL.
            "error": message.encode(errors="replace").decode().replace("\0", " "),
        }


def failed_unexpectedly() -> Changes:
    """What is recorded of a failure that nobody has foreseen."""
    return {
        "finished_at": time.time(),
        "error_code": "internal_error",
        "error": "Something went wrong inside the hub; its log tells more.",
    }


def taken_back(job: Job) -> Changes:
    """What an orderly stop records: the run does not count as one during which the server died."""
    return {"attempts": job.attempts - 1, "started_at": None, "progress": 0}
