"""How long finished jobs and their files are kept; pure arithmetic on a job's row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hub.jobs.model import Job, Kind, Status


@dataclass(frozen=True)
class LeaseTerms:
    """The owner's rules, all in seconds.

    abandoned: a result that nobody confirmed stays at least so long after it was finished,
    heartbeat: and at least so long after its last heartbeat.
    downloaded: how long a confirmed result is kept from then on, by kind; heartbeats change nothing about that.
    failed: how long jobs without a result are remembered: failed, cancelled, installations.
    clean_up: from one automatic clean-up to the next; None: none is made unless asked for.
    """

    abandoned: float
    heartbeat: float
    downloaded: Mapping[Kind, float]
    failed: float
    clean_up: float | None


def lease_end(job: Job, terms: LeaseTerms, heard_since: float = 0.0) -> float:
    """From when on the job is no longer kept, in Unix seconds; infinity as long as it waits or runs.

    heard_since: from when on heartbeats could arrive; whoever sent them before had no chance to go on meanwhile.
    """
    if not job.status.finished:
        return math.inf
    ended = job.leased_at or job.finished_at or job.created_at
    if job.status is not Status.COMPLETED or job.result_path is None:
        return ended + terms.failed
    if job.confirmed_at is not None:
        return job.confirmed_at + terms.downloaded[job.kind]
    if job.heartbeat_at is None:
        return ended + terms.abandoned
    return max(ended + terms.abandoned, max(job.heartbeat_at, heard_since) + terms.heartbeat)
