"""Whoever wants to know when runs begin and end, such as the metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from hub.jobs.model import Job, Status

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told of every run, on the run's own thread: answer at once."""

    def began(self, job: Job, waited: float) -> None:
        """A run begins; `waited` is how many seconds ago the job was sent or resumed."""

    def ended(self, job: Job, status: Status, seconds: float) -> None:
        """A run ended after `seconds`; PENDING: the hub stops, and the job was put back into the queue."""


class Witness:
    """Tells an observer, if there is one; what it raises goes to the log and never to the run."""

    def __init__(self, observer: Observer | None) -> None:
        self._observer = observer

    def began(self, job: Job) -> None:
        """A run begins."""
        self._tell(lambda observer: observer.began(job, max(0.0, time.time() - job.turn / 1e9)))

    def ended(self, job: Job, status: Status, seconds: float) -> None:
        """A run ended."""
        self._tell(lambda observer: observer.ended(job, status, seconds))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        if self._observer is not None:
            try:
                call(self._observer)
            except Exception:
                logger.exception("The jobs' observer failed.")
