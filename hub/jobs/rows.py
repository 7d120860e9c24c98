"""Reading the durable table of jobs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Result, Row, Select, func, select, tuple_
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hub.errors import Busy, NotFound
from hub.jobs.model import Job, Kind, Status
from hub.jobs.table import JOBS

logger = logging.getLogger(__name__)

IDS_PER_QUERY = 500  # Databases bound the parameters of one statement.
DEFECTS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What a database says of a statement that it will never take; all else may pass."""
UNREADABLE = (ValueError, LookupError)
"""What is raised for a row whose JSON is none, or whose kind or status is unknown."""


def database_away() -> Busy:
    """The error for a database that is locked for long, or gone."""
    return Busy("database_unavailable", "The jobs database does not answer; please try again later.")


class JobRows:
    """The jobs table, for reading; safe to use from any thread. Raises Busy("database_unavailable")."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. Raises Busy("database_unavailable")."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DEFECTS:
            raise
        except (DBAPIError, PoolTimeout) as error:
            raise database_away() from error

    def get(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        with self.begin() as connection:
            return fetch(connection, job_id)

    def list(
        self,
        *,
        owner: str | None = None,
        kind: Kind | None = None,
        status: Status | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> Sequence[Job]:
        """At most `limit` jobs, newest first; `before`: `created_at` and id of the last job of the previous page."""
        query = select(JOBS).order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit)
        for column, wanted in ((JOBS.c.owner, owner), (JOBS.c.kind, kind), (JOBS.c.status, status)):
            if wanted is not None:
                query = query.where(column == wanted)
        if before is not None:
            query = query.where(tuple_(JOBS.c.created_at, JOBS.c.id) < before)
        with self.begin() as connection:
            return [*jobs_of(connection.execute(query))]

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
            return [*jobs_of(connection.execute(select(JOBS).where(waiting).order_by(JOBS.c.turn)))]

    def statuses(self, job_ids: Collection[str]) -> dict[str, Status]:
        """The status of each of these jobs that is known."""
        with self.begin() as connection:
            return {
                row.id: row.status
                for ids in portions(job_ids)
                for row in readable(connection.execute(select(JOBS.c.id, JOBS.c.status).where(JOBS.c.id.in_(ids))))
            }

    def waiting_count(self, kind: Kind | None = None) -> int:
        """How many jobs are pending, of one kind or of all."""
        query = count_pending() if kind is None else count_pending().where(JOBS.c.kind == kind)
        with self.begin() as connection:
            return connection.execute(query).scalar_one()

    def position(self, job: Job) -> int:
        """A pending job's place in the queue of its kind; 1 is next."""
        before = count_pending().where(JOBS.c.kind == job.kind, JOBS.c.turn < job.turn)
        with self.begin() as connection:
            return 1 + connection.execute(before).scalar_one()

    def several(self, job_ids: Collection[str]) -> Sequence[Job]:
        """Those of these jobs that are known, in no order."""
        with self.begin() as connection:
            return [
                job
                for ids in portions(job_ids)
                for job in jobs_of(connection.execute(select(JOBS).where(JOBS.c.id.in_(ids))))
            ]

    def positions(self, job_ids: Collection[str]) -> dict[str, int]:
        """As `position`, of those among these jobs that are pending."""
        place = func.row_number().over(partition_by=JOBS.c.kind, order_by=JOBS.c.turn).label("place")
        queue = select(JOBS.c.id, place).where(JOBS.c.status == Status.PENDING).subquery()
        with self.begin() as connection:
            return {
                row.id: row.place
                for ids in portions(job_ids)
                for row in connection.execute(select(queue).where(queue.c.id.in_(ids)))
            }

    def counts(self) -> dict[tuple[Kind, Status], int]:
        """How many jobs of each kind are in each status; where there are none, nothing is told."""
        query = select(JOBS.c.kind, JOBS.c.status, func.count().label("number")).group_by(JOBS.c.kind, JOBS.c.status)
        with self.begin() as connection:
            return {(row.kind, row.status): row.number for row in readable(connection.execute(query))}


def portions(job_ids: Collection[str]) -> Iterator[list[str]]:
    ids = [*job_ids]
    for start in range(0, len(ids), IDS_PER_QUERY):
        yield ids[start : start + IDS_PER_QUERY]


def count_pending() -> Select[int]:
    return select(func.count()).select_from(JOBS).where(JOBS.c.status == Status.PENDING)


def fetch(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).first()
    if row is None:
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")
    return job_of(row)


def jobs_of(rows: Result[Any]) -> Iterator[Job]:
    """The jobs that whole rows are, as far as they can be read."""
    return map(job_of, readable(rows))


def readable(rows: Result[Any]) -> Iterator[Row[Any]]:
    """Rows; one that cannot be read is left out, with a line in the log."""
    while True:
        try:
            row = rows.fetchone()
        except UNREADABLE as error:
            logger.warning("A row of the jobs table cannot be read and is left out: %s", error)
            continue
        if row is None:
            return
        yield row


def job_of(row: Row[Any]) -> Job:
    """The job that a whole row of the table is."""
    return Job(**row._mapping)
