from __future__ import annotations

import pytest

from hub.jobs.model import TRANSITIONS, Job, Kind, Status


def test_the_table_of_transitions() -> None:
    assert {status: set(targets) for status, targets in TRANSITIONS.items()} == {
        Status.PENDING: {Status.PROCESSING, Status.CANCELLED},
        Status.PROCESSING: {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PENDING},
        Status.COMPLETED: set(),
        Status.FAILED: {Status.PENDING},
        Status.CANCELLED: set(),
    }
    assert [status for status in Status if status.finished] == [Status.COMPLETED, Status.FAILED, Status.CANCELLED]


def test_new_jobs_are_pending_and_all_different() -> None:
    jobs = [Job.new(Kind.IMAGE, "denoise", {}, "a.png") for _ in range(100)]
    assert len({job.id for job in jobs}) == len({job.secret for job in jobs}) == 100
    assert all(job.status is Status.PENDING and job.attempts == 0 for job in jobs)
    assert [job.turn for job in jobs] == sorted(job.turn for job in jobs)


@pytest.mark.parametrize("value", [float("nan"), object(), b"bytes"])
def test_a_spec_is_plain_json(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        Job.new(Kind.IMAGE, "denoise", {"value": value}, "a.png")
