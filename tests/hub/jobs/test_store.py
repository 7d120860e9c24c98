from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from hub.errors import Busy, Conflict, HubError, NotFound
from hub.jobs.model import TRANSITIONS, Job, Kind, Status
from hub.jobs.store import JobStore


def new_job(kind: Kind = Kind.IMAGE) -> Job:
    return Job.new(kind, "denoise", {"strength": 0.5, "name": "é"}, "写真.jpg")


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """Call all in threads of their own, released together; results and exceptions in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(10)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the exception is the answer
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_a_job_comes_back_as_it_was(store: JobStore) -> None:
    job = new_job()
    assert store.add(job)
    assert store.get(job.id) == job


def test_a_commit_is_seen_by_another_process(tmp_path: Path, store: JobStore) -> None:
    job = new_job()
    store.add(job)
    again = JobStore(f"sqlite:///{tmp_path / 'hub.sqlite3'}")
    assert again.get(job.id) == job
    again.close()


def test_every_connection_is_durable(tmp_path: Path, store: JobStore) -> None:
    with store._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5_000}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("hub.sqlite3", "not one that SQLAlchemy understands"),
        ("nothing://user:geheim@host/hub", "nothing"),
        ("sqlite:////dev/null/hub.sqlite3", "/dev/null"),
        ("sqlite:////dev", "unable to open"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_one_line(url: str, words: str) -> None:
    with pytest.raises(HubError, match=words) as raised:
        JobStore(url)
    assert raised.value.code == "bad_database"
    assert "\n" not in raised.value.message
    assert "geheim" not in raised.value.message


@pytest.mark.parametrize("beginning", [b"This is no database. " * 1000, None])
def test_a_damaged_database_is_refused(tmp_path: Path, store: JobStore, beginning: bytes | None) -> None:
    for _ in range(200):
        store.add(new_job())
    store.close()
    path = tmp_path / "hub.sqlite3"
    content = path.read_bytes()
    path.write_bytes(beginning or content[:8192] + bytes(len(content) - 8192))

    with pytest.raises(HubError, match=r"hub\.sqlite3 cannot be used: .*(not a database|damaged|malformed)"):
        JobStore(f"sqlite:///{path}")


def test_an_unknown_id_is_not_found(store: JobStore) -> None:
    for call in (
        lambda: store.get("nonsense"),
        lambda: store.transition("nonsense", Status.CANCELLED),
        lambda: store.update_result("nonsense", "/x", {}),
    ):
        with pytest.raises(NotFound):
            call()


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(Status), st.none() | st.sampled_from(Status)), max_size=8))
def test_only_legal_moves_happen(store: JobStore, moves: list[tuple[Status, Status | None]]) -> None:
    job = new_job()
    store.add(job)
    status = Status.PENDING
    for number, (to, expect) in enumerate(moves):
        legal = to in TRANSITIONS[status] and expect in (None, status)
        before = store.get(job.id)
        if legal:
            moved = store.transition(job.id, to, expect=expect, attempts=number)
            assert moved == replace(before, status=to, attempts=number) == store.get(job.id)
            status = to
        else:
            with pytest.raises(Conflict) as raised:
                store.transition(job.id, to, expect=expect, attempts=number)
            assert raised.value.code == "wrong_status"
            assert raised.value.data == {"status": status.value}
            assert store.get(job.id) == before


def test_of_many_movers_one_wins(store: JobStore) -> None:
    for _ in range(10):
        job = new_job()
        store.add(job)
        store.transition(job.id, Status.PROCESSING)
        ends = [Status.COMPLETED, Status.CANCELLED, Status.FAILED, Status.COMPLETED]
        answers = at_once([partial(store.transition, job.id, end) for end in ends])
        won = [answer for answer in answers if isinstance(answer, Job)]
        assert len(won) == 1
        assert store.get(job.id) == won[0]
        assert all(isinstance(answer, (Job, Conflict)) for answer in answers)


def test_the_limit_holds_when_many_add_at_once(store: JobStore) -> None:
    answers = at_once([lambda: store.add(new_job(), limit=5)] * 16)
    assert answers.count(True) == 5
    assert answers.count(False) == 11
    assert store.waiting_count() == 5


def fail(store: JobStore) -> Job:
    """A job that has run and failed."""
    job = new_job(Kind.VIDEO)
    store.add(job)
    store.transition(job.id, Status.PROCESSING, attempts=7, started_at=time.time())
    return store.transition(
        job.id, Status.FAILED, finished_at=time.time(), progress=80, error_code="disk_full", error="Full."
    )


def test_a_requeued_job_is_as_new_and_last(store: JobStore) -> None:
    job, waiting = fail(store), new_job(Kind.VIDEO)
    store.add(waiting)
    assert store.requeue(job.id)
    again = store.get(job.id)
    assert again == replace(
        job,
        status=Status.PENDING,
        turn=again.turn,
        attempts=0,
        progress=0,
        started_at=None,
        finished_at=None,
        error_code=None,
        error=None,
    )
    assert store.position(again) == 2


@pytest.mark.parametrize("way", [[], [Status.PROCESSING], [Status.CANCELLED], [Status.PROCESSING, Status.COMPLETED]])
def test_only_a_failed_job_is_requeued(store: JobStore, way: list[Status]) -> None:
    job = new_job(Kind.VIDEO)
    store.add(job)
    for status in way:
        store.transition(job.id, status)
    before = store.get(job.id)
    with pytest.raises(Conflict):
        store.requeue(job.id)
    assert store.get(job.id) == before
    with pytest.raises(NotFound):
        store.requeue("nonsense")


def test_the_limit_holds_for_requeued_jobs_too(store: JobStore) -> None:
    failed = [fail(store) for _ in range(8)]
    answers = at_once(
        [partial(store.requeue, job.id, limit=5) for job in failed] + [lambda: store.add(new_job(), limit=5)] * 8
    )
    assert answers.count(True) == 5
    assert store.waiting_count() == 5
    assert all(store.get(job.id) == job for job, fitted in zip(failed, answers, strict=False) if not fitted)


def test_each_job_is_claimed_once(store: JobStore) -> None:
    jobs = [new_job() for _ in range(20)]
    for job in jobs:
        store.add(job)
    claimed = at_once([lambda: store.claim_next(Kind.IMAGE)] * 22)
    ids = [job.id for job in claimed if isinstance(job, Job)]
    assert sorted(ids) == sorted(job.id for job in jobs)
    assert claimed.count(None) == 2


@pytest.mark.parametrize(("column", "value"), [("spec", "{broken"), ("result", "{broken")])
def test_a_damaged_row_holds_up_nobody(store: JobStore, column: str, value: str) -> None:
    damaged, behind = new_job(), new_job()
    for job in (damaged, behind):
        store.add(job)
    damage(store, damaged.id, column, value)
    assert [job.id for job in store.list()] == [job.id for job in store.unfinished()] == [behind.id]

    claimed = store.claim_next(Kind.IMAGE)

    assert claimed is not None
    assert claimed.id == behind.id
    failed = store.get(damaged.id)
    assert (failed.status, failed.error_code, failed.spec) == (Status.FAILED, "internal_error", {})
    assert len(store.list()) == 2


def test_a_row_of_an_unknown_status_is_left_out(store: JobStore, caplog: pytest.LogCaptureFixture) -> None:
    damaged, sound = new_job(), new_job()
    for job in (damaged, sound):
        store.add(job)
    damage(store, damaged.id, "status", "resting")
    assert store.list() == store.unfinished() == store.several([damaged.id, sound.id]) == [sound]
    assert store.counts() == {(Kind.IMAGE, Status.PENDING): 1}
    assert store.statuses([damaged.id, sound.id]) == {sound.id: Status.PENDING}
    assert "resting" in caplog.text


def damage(store: JobStore, job_id: str, column: str, value: str) -> None:
    with store.begin() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET {column} = ? WHERE id = ?", (value, job_id))  # noqa: S608


def test_what_is_wrong_with_a_job_without_a_key_is_not_its_key(store: JobStore) -> None:
    job = new_job()
    store.add(job)
    with pytest.raises(IntegrityError):
        store.add(job)


def test_the_queue_is_served_by_turn_and_kind(store: JobStore) -> None:
    first, clip, second = new_job(), new_job(Kind.VIDEO), new_job()
    for job in (second, clip, first):
        store.add(job)
    store.transition(first.id, Status.PROCESSING)
    store.transition(first.id, Status.PENDING, turn=time.time_ns())  # To the back of the queue.
    assert [store.position(store.get(job.id)) for job in (clip, second, first)] == [1, 1, 2]
    assert [store.waiting_count(kind) for kind in (None, Kind.IMAGE, Kind.VIDEO)] == [3, 2, 1]
    claimed = store.claim_next(Kind.IMAGE)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.attempts) == (second.id, Status.PROCESSING, 1)
    assert claimed.started_at is not None
    assert [job.id for job in store.unfinished()] == [clip.id, second.id, first.id]


def test_pages_hold_every_job_once_newest_first(store: JobStore) -> None:
    jobs = [replace(new_job(), created_at=float(number // 3)) for number in range(10)]
    for job in jobs:
        store.add(job)
    seen: list[Job] = []
    while page := store.list(limit=4, before=(seen[-1].created_at, seen[-1].id) if seen else None):
        assert len(page) <= 4
        seen += page
    assert [job.id for job in seen] == [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id))][::-1]
    assert store.list(kind=Kind.VIDEO) == []


def test_statuses_of_known_jobs_only(store: JobStore) -> None:
    jobs = [new_job() for _ in range(3)]
    for job in jobs:
        store.add(job)
    store.transition(jobs[0].id, Status.CANCELLED)
    ids = [job.id for job in jobs[:2]] + [f"unknown-{number}" for number in range(1200)]
    assert store.statuses(ids) == {jobs[0].id: Status.CANCELLED, jobs[1].id: Status.PENDING}
    assert store.statuses([]) == {}


def test_many_jobs_are_looked_up_as_each_is_alone(store: JobStore) -> None:
    jobs = [new_job(kind=kind) for kind in (Kind.IMAGE, Kind.VIDEO) for _ in range(3)]
    for job in jobs:
        store.add(job)
    running = store.claim_next(Kind.IMAGE)
    assert running is not None
    ids = [job.id for job in jobs] + ["nobody's"]

    assert {job.id: job for job in store.several(ids)} == {job.id: store.get(job.id) for job in jobs}
    waiting = [job for job in jobs if job.id != running.id]
    assert store.positions(ids) == {job.id: store.position(job) for job in waiting}


def test_only_a_completed_job_gets_another_result(store: JobStore) -> None:
    job = new_job()
    store.add(job)
    with pytest.raises(Conflict):
        store.update_result(job.id, "/x", {})
    store.transition(job.id, Status.PROCESSING)
    store.transition(job.id, Status.COMPLETED, result_path="/a", result={"strength": 1})
    changed = store.update_result(job.id, "/b", {"strength": 0.5})
    assert (changed.result_path, changed.result) == ("/b", {"strength": 0.5})


def test_a_deleted_job_is_gone(store: JobStore) -> None:
    job = new_job()
    store.add(job)
    store.delete(job.id)
    store.delete(job.id)
    with pytest.raises(NotFound):
        store.get(job.id)


def test_a_locked_database_is_waited_for(tmp_path: Path, store: JobStore) -> None:
    job = new_job()
    released = threading.Event()
    blocker = sqlite3.connect(tmp_path / "hub.sqlite3", isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    assert store.list() == []  # Readers do not wait.

    def release() -> None:
        released.set()
        blocker.execute("COMMIT")

    timer = threading.Timer(0.3, release)
    timer.start()
    assert store.add(job)
    assert released.is_set()
    timer.join()
    blocker.close()
    assert store.get(job.id) == job


def test_whoever_adds_to_a_locked_database_waits_for_no_longer_than_twice_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("table", "store"):
        monkeypatch.setattr(f"hub.jobs.{module}.LOCK_WAIT_MS", 200)
    store = JobStore(f"sqlite:///{tmp_path / 'hub.sqlite3'}")
    locker = sqlite3.connect(tmp_path / "hub.sqlite3", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        adding = [threads.submit(store.add, new_job()) for _ in range(8)]
        errors = [each.exception() for each in adding]
    assert time.monotonic() - began < 1.5
    assert all(isinstance(error, Busy) and error.retry_after > 0 for error in errors)
    locker.execute("ROLLBACK")
    locker.close()
    assert store.add(new_job())
    assert len(store.list()) == 1
    store.close()
