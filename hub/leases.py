"""How long finished jobs and their files are kept; pure arithmetic on a job's row and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hub.jobs.model import Job, Kind, Status


@dataclass(frozen=True)
class LeaseTerms:
    """The owner's rules, all in seconds.

    abandoned: a result that nobody confirmed stays at least so long after it was finished,
    heartbeat: and at least so long after its last heartbeat; a confirmed one too.
    downloaded: how long a confirmed result is kept, by kind.
    failed: how long jobs without a result are remembered: failed, cancelled, installations.
    clean_up: from one automatic clean-up to the next; None: none is made unless asked for.
    """

    abandoned: float
    heartbeat: float
    downloaded: Mapping[Kind, float]
    failed: float
    clean_up: float | None


class LeaseState(StrEnum):
    """Where a job and its files stand."""

    IN_WORK = "in_work"
    ACTIVE = "active"
    DOWNLOADED = "downloaded"
    NO_RESULT = "no_result"
    LAPSED = "lapsed"


@dataclass(frozen=True)
class Lease:
    """state: LAPSED from the moment `until` on, in Unix seconds; None as long as the job waits or runs."""

    state: LeaseState
    until: float | None = None


def lease(job: Job, terms: LeaseTerms, now: float) -> Lease:
    """What lease the job has at the time `now`, in Unix seconds."""
    if not job.status.finished:
        return Lease(LeaseState.IN_WORK)
    ended = job.created_at if job.finished_at is None else job.finished_at
    viewed = ended if job.heartbeat_at is None else job.heartbeat_at + terms.heartbeat
    if job.status is not Status.COMPLETED or job.result_path is None:
        state, until = LeaseState.NO_RESULT, ended + terms.failed
    elif job.confirmed_at is None:
        state, until = LeaseState.ACTIVE, max(ended + terms.abandoned, viewed)
    else:
        state, until = LeaseState.DOWNLOADED, max(job.confirmed_at + terms.downloaded[job.kind], viewed)
    return Lease(LeaseState.LAPSED if now >= until else state, until)
