"""The durable table of jobs: every change is one transaction, every status change a compare-and-set."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypedDict, Unpack

from sqlalchemy import Connection, Row, Select, func, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hub.errors import Busy, Conflict, NotFound
from hub.jobs.model import TRANSITIONS, Job, Kind, Status
from hub.jobs.table import JOBS, open_database

IDS_PER_QUERY = 500  # Databases bound the parameters of one statement.


class Changes(TypedDict, total=False):
    """What may change together with a job's status."""

    turn: int
    started_at: float | None
    finished_at: float | None
    attempts: int
    progress: int
    result_path: str | None
    result: dict[str, Any] | None
    error_code: str | None
    error: str | None


class JobStore:
    """The jobs table behind a SQLAlchemy URL; safe to use from any thread.

    Where the database is locked, calls wait; where it stays away, they raise Busy("database_unavailable").
    """

    def __init__(self, url: str) -> None:
        """Open the database and make the table if need be. Raises HubError (`bad_database`) that says what is wrong."""
        self._engine = open_database(url)
        self._adding = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, job: Job, *, limit: int | None = None) -> bool:
        """Commit a new job; for good once this returns. False, adding nothing, if more than `limit` would wait.

        The limit is exact on SQLite and within one process; hosts that share a database may pass it by a few.
        Raises Conflict("idempotency_key_taken") if its owner has a job with the same key.
        """
        with self._adding, self.begin() as connection:
            # Inserted before counting: the insert takes SQLite's write lock, and a read first could not be upgraded.
            values = {column.name: getattr(job, column.name) for column in JOBS.columns}
            try:
                connection.execute(JOBS.insert().values(values))
            except IntegrityError as error:
                raise Conflict("idempotency_key_taken", "There is a task with this idempotency key.") from error
            fits = _fits(connection, limit)
            if not fits:
                connection.rollback()
        return fits

    def requeue(self, job_id: str, *, limit: int | None = None) -> bool:
        """Put a failed job behind all that wait, as if it had never run; False as with `add`.

        Raises NotFound, or Conflict("wrong_status") if it has not failed.
        """
        anew: Changes = {
            "turn": time.time_ns(),
            "started_at": None,
            "finished_at": None,
            "attempts": 0,
            "progress": 0,
            "error_code": None,
            "error": None,
        }
        with self._adding, self.begin() as connection:
            moved = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.FAILED)
                .values({**anew, "status": Status.PENDING})
            )
            if moved.rowcount == 0:
                _refuse(_fetch(connection, job_id), "be resumed")
            fits = _fits(connection, limit)
            if not fits:
                connection.rollback()
        return fits

    def get(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        with self.begin() as connection:
            return _fetch(connection, job_id)

    def transition(self, job_id: str, to: Status, *, expect: Status | None = None, **changes: Unpack[Changes]) -> Job:
        """Move a job to status `to`, if that is legal (and it is in `expect`); `changes` go along or not at all.

        Raises NotFound, or Conflict("wrong_status") where the job is in another status than it would have to be.
        """
        sources = [status for status, targets in TRANSITIONS.items() if to in targets and expect in (None, status)]
        values = {**changes, "status": to}
        with self.begin() as connection:
            moved = connection.execute(
                update(JOBS).where(JOBS.c.id == job_id, JOBS.c.status.in_(sources)).values(values)
            )
            job = _fetch(connection, job_id)
            if moved.rowcount == 0:
                _refuse(job, f"become {to}")
            return job

    def update_result(self, job_id: str, result_path: str, result: dict[str, Any]) -> Job:
        """Replace a completed job's result. Raises NotFound, or Conflict("wrong_status") if it is not completed.

        Nobody has downloaded the new one, and whoever asked for it is looking at it.
        """
        with self.begin() as connection:
            changed = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.COMPLETED)
                .values(result_path=result_path, result=result, confirmed_at=None, heartbeat_at=time.time())
            )
            job = _fetch(connection, job_id)
            if changed.rowcount == 0:
                _refuse(job, "have its result replaced")
            return job

    def claim_next(self, kind: Kind) -> Job | None:
        """Take the next pending job of a kind out of the queue for a run that begins now; None if there is none."""
        following = (
            select(JOBS.c.id, JOBS.c.attempts)
            .where(JOBS.c.status == Status.PENDING, JOBS.c.kind == kind)
            .order_by(JOBS.c.turn, JOBS.c.id)
            .limit(1)
        )
        while True:
            with self.begin() as connection:
                row = connection.execute(following).first()
            if row is None:
                return None
            try:
                return self.transition(
                    row.id,
                    Status.PROCESSING,
                    expect=Status.PENDING,
                    attempts=row.attempts + 1,
                    started_at=time.time(),
                )
            except (Conflict, NotFound):
                continue  # Cancelled, deleted or taken by another worker since; look again.

    def forgive(self, job_id: str) -> None:
        """Count the runs of a running job from its present one on; nothing happens if it does not run."""
        with self.begin() as connection:
            running = (JOBS.c.id == job_id) & (JOBS.c.status == Status.PROCESSING)
            connection.execute(update(JOBS).where(running).values(attempts=1))

    def list(
        self,
        *,
        owner: str | None = None,
        kind: Kind | None = None,
        status: Status | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Sequence[Job]:
        """At most `limit` jobs, newest first; `before` is the id of the last job of the previous page."""
        query = select(JOBS).order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit)
        for column, wanted in ((JOBS.c.owner, owner), (JOBS.c.kind, kind), (JOBS.c.status, status)):
            if wanted is not None:
                query = query.where(column == wanted)
        with self.begin() as connection:
            if before is not None:
                last = _fetch(connection, before)
                older = (JOBS.c.created_at < last.created_at) | (
                    (JOBS.c.created_at == last.created_at) & (JOBS.c.id < last.id)
                )
                query = query.where(older)
            return [job_of(row) for row in connection.execute(query)]

    def keyed(self, owner: str, key: str) -> Job | None:
        """The job that its owner sent with this idempotency key, if there is one."""
        query = select(JOBS).where(JOBS.c.owner == owner, JOBS.c.idempotency_key == key)
        with self.begin() as connection:
            row = connection.execute(query).first()
        return None if row is None else job_of(row)

    def unfinished(self) -> Sequence[Job]:
        """All jobs that wait or run, in order of their turn."""
        waiting = JOBS.c.status.in_([Status.PENDING, Status.PROCESSING])
        with self.begin() as connection:
            return [job_of(row) for row in connection.execute(select(JOBS).where(waiting).order_by(JOBS.c.turn))]

    def statuses(self, job_ids: Collection[str]) -> dict[str, Status]:
        """The status of each of these jobs that is known."""
        with self.begin() as connection:
            return {
                row.id: row.status
                for ids in _portions(job_ids)
                for row in connection.execute(select(JOBS.c.id, JOBS.c.status).where(JOBS.c.id.in_(ids)))
            }

    def waiting_count(self, kind: Kind | None = None) -> int:
        """How many jobs are pending, of one kind or of all."""
        query = _count_pending() if kind is None else _count_pending().where(JOBS.c.kind == kind)
        with self.begin() as connection:
            return connection.execute(query).scalar_one()

    def position(self, job: Job) -> int:
        """A pending job's place in the queue of its kind; 1 is next."""
        before = _count_pending().where(JOBS.c.kind == job.kind, JOBS.c.turn < job.turn)
        with self.begin() as connection:
            return 1 + connection.execute(before).scalar_one()

    def several(self, job_ids: Collection[str]) -> Sequence[Job]:
        """Those of these jobs that are known, in no order."""
        with self.begin() as connection:
            return [
                job_of(row)
                for ids in _portions(job_ids)
                for row in connection.execute(select(JOBS).where(JOBS.c.id.in_(ids)))
            ]

    def positions(self, job_ids: Collection[str]) -> dict[str, int]:
        """As `position`, of those among these jobs that are pending."""
        place = func.row_number().over(partition_by=JOBS.c.kind, order_by=JOBS.c.turn).label("place")
        queue = select(JOBS.c.id, place).where(JOBS.c.status == Status.PENDING).subquery()
        with self.begin() as connection:
            return {
                row.id: row.place
                for ids in _portions(job_ids)
                for row in connection.execute(select(queue).where(queue.c.id.in_(ids)))
            }

    def counts(self) -> dict[tuple[Kind, Status], int]:
        """How many jobs of each kind are in each status; where there are none, nothing is told."""
        query = select(JOBS.c.kind, JOBS.c.status, func.count()).group_by(JOBS.c.kind, JOBS.c.status)
        with self.begin() as connection:
            return {(kind, status): count for kind, status, count in connection.execute(query)}

    def waiting_since(self) -> dict[Kind, float]:
        """When the first in the queue of each kind was sent or resumed, in Unix seconds; kinds with a queue only."""
        query = select(JOBS.c.kind, func.min(JOBS.c.turn)).where(JOBS.c.status == Status.PENDING).group_by(JOBS.c.kind)
        with self.begin() as connection:
            return {kind: turn / 1e9 for kind, turn in connection.execute(query)}

    def delete_unchanged(self, job: Job) -> bool:
        """Forget a job if it is still as `job` says; False if not, or if it is gone."""
        same = [
            JOBS.c[name].is_not_distinct_from(getattr(job, name))
            for name in ("status", "finished_at", "heartbeat_at", "confirmed_at")
        ]
        with self.begin() as connection:
            return connection.execute(delete_from(JOBS).where(JOBS.c.id == job.id, *same)).rowcount == 1

    def delete(self, job_id: str) -> None:
        """Forget a job; nothing happens if there is none."""
        with self.begin() as connection:
            connection.execute(delete_from(JOBS).where(JOBS.c.id == job_id))

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. Raises Busy("database_unavailable")."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, PoolTimeout) as error:
            raise Busy("database_unavailable", "The jobs database does not answer; please try again later.") from error


def _portions(job_ids: Collection[str]) -> Iterator[list[str]]:
    ids = [*job_ids]
    for start in range(0, len(ids), IDS_PER_QUERY):
        yield ids[start : start + IDS_PER_QUERY]


def _count_pending() -> Select[int]:
    return select(func.count()).select_from(JOBS).where(JOBS.c.status == Status.PENDING)


def _fits(connection: Connection, limit: int | None) -> bool:
    """Whether no more than `limit` jobs wait, counting what this transaction has added."""
    return limit is None or connection.execute(_count_pending()).scalar_one() <= limit


def _fetch(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).first()
    if row is None:
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")
    return job_of(row)


def job_of(row: Row[Any]) -> Job:
    """The job that a whole row of the table is."""
    return Job(**row._mapping)


def _refuse(job: Job, move: str) -> NoReturn:
    raise Conflict("wrong_status", f"The task is {job.status} and cannot {move}.", {"status": str(job.status)})
