from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hub.jobs.model import Job, Kind, Status
from hub.leases import LeaseTerms, lease_end

MINUTE = 60.0
TERMS = LeaseTerms(
    abandoned=60 * MINUTE,
    heartbeat=7 * MINUTE,
    downloaded={Kind.IMAGE: 10 * MINUTE, Kind.VIDEO: 60 * MINUTE},
    failed=24 * 60 * MINUTE,
    clean_up=30 * MINUTE,
)
FINISHED = 1_700_000_000.0


def done(kind: Kind = Kind.IMAGE, *, heartbeat: float | None = None, confirmed: float | None = None) -> Job:
    """A job completed at FINISHED; the others in minutes after that."""
    return replace(
        Job.new(kind, "denoise", {}, "a.jpg"),
        status=Status.COMPLETED,
        finished_at=FINISHED,
        result_path="/static_results/images/denoise/processed/a.jpg",
        heartbeat_at=None if heartbeat is None else FINISHED + heartbeat * MINUTE,
        confirmed_at=None if confirmed is None else FINISHED + confirmed * MINUTE,
    )


@pytest.mark.parametrize(
    ("job", "minutes"),
    [
        (done(), 60),
        (done(heartbeat=5), 60),
        (done(heartbeat=58), 65),
        (done(heartbeat=300), 307),
        (done(heartbeat=-5), 60),  # While it was waited for.
        (done(confirmed=1), 11),
        (done(confirmed=500), 510),
        (done(Kind.VIDEO, confirmed=1), 61),
        (done(confirmed=1, heartbeat=2), 11),
        (done(confirmed=1, heartbeat=30), 11),
        (replace(done(), leased_at=FINISHED + 500 * MINUTE), 560),
        (replace(done(), status=Status.FAILED, result_path=None), 24 * 60),
        (replace(done(), status=Status.CANCELLED, result_path=None), 24 * 60),
        (replace(done(Kind.INSTALL), result_path=None), 24 * 60),
    ],
)
def test_a_lease_ends_to_the_second(job: Job, minutes: float) -> None:
    assert lease_end(job, TERMS) == FINISHED + minutes * MINUTE


@pytest.mark.parametrize(
    ("job", "minutes"),
    [(done(), 60), (done(heartbeat=58), 307), (done(heartbeat=400), 407), (done(confirmed=1, heartbeat=58), 11)],
)
def test_whoever_looked_before_the_hub_was_down_has_time_to_say_so_again(job: Job, minutes: float) -> None:
    assert lease_end(job, TERMS, heard_since=FINISHED + 300 * MINUTE) == FINISHED + minutes * MINUTE


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING])
def test_a_job_in_work_has_no_end(status: Status) -> None:
    job = replace(done(heartbeat=1), status=status, finished_at=None, result_path=None)
    assert lease_end(job, TERMS) == math.inf


def test_a_job_that_never_said_when_it_ended_counts_from_its_beginning() -> None:
    job = replace(done(), status=Status.CANCELLED, result_path=None, finished_at=None, created_at=FINISHED)
    assert lease_end(job, TERMS) == FINISHED + TERMS.failed


def test_terms_of_no_time_at_all() -> None:
    at_once = LeaseTerms(0, 0, {Kind.IMAGE: 0, Kind.VIDEO: 0}, 0, None)
    for job in (done(), done(heartbeat=0), done(confirmed=0), replace(done(), status=Status.FAILED)):
        assert lease_end(job, at_once) <= FINISHED
