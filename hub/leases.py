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


def lease(job: Job, terms: LeaseTerms, now: float, heard_since: float = 0.0) -> Lease:
    """What lease the job has at the time `now`, in Unix seconds.

    heard_since: from when on heartbeats could arrive; whoever sent them before had no chance to go on meanwhile.
    """
    if not job.status.finished:
        return Lease(LeaseState.IN_WORK)
    ended = job.leased_at or job.finished_at or job.created_at
    if job.status is not Status.COMPLETED or job.result_path is None:
        state, until = LeaseState.NO_RESULT, ended + terms.failed
    elif job.confirmed_at is not None:
        state, until = LeaseState.DOWNLOADED, job.confirmed_at + terms.downloaded[job.kind]
    elif job.heartbeat_at is None:
        state, until = LeaseState.ACTIVE, ended + terms.abandoned
    else:
        viewed = max(job.heartbeat_at, heard_since) + terms.heartbeat
        state, until = LeaseState.ACTIVE, max(ended + terms.abandoned, viewed)
    return Lease(LeaseState.LAPSED if now >= until else state, until)
