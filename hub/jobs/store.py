"""The durable table of jobs: every change is one transaction, every status change a compare-and-set."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypedDict, Unpack

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Enum,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    select,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from hub.errors import Busy, Conflict, HubError, NotFound
from hub.jobs.model import TRANSITIONS, Job, Kind, Status

LOCK_WAIT_MS = 60_000
IDS_PER_QUERY = 500  # Databases bound the parameters of one statement.


def _words(members: type[StrEnum]) -> Enum:
    """A column that holds the values of an enumeration as plain text, on every database."""
    return Enum(members, native_enum=False, length=16, values_callable=lambda kind: [member.value for member in kind])


JOBS = Table(
    "jobs",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("kind", _words(Kind), nullable=False),
    Column("task", String(64), nullable=False),
    Column("status", _words(Status), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("filename", Text, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("result_path", Text),
    Column("result", JSON(none_as_null=True)),
    Column("error_code", String(64)),
    Column("error", Text),
    Index("jobs_by_turn", "status", "turn"),
    Index("jobs_by_age", "created_at"),
)


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
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise _bad_database(
                "The address of the jobs database is not one that SQLAlchemy understands", error
            ) from error
        self._adding = threading.Lock()
        try:
            self._engine = _open(parsed)
        except (SQLAlchemyError, ImportError, OSError) as error:
            # Without its password: this goes to the log.
            address = parsed.render_as_string(hide_password=True)
            raise _bad_database(f"The jobs database {address} cannot be used", error) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, job: Job, *, limit: int | None = None) -> bool:
        """Commit a new job; for good once this returns. False, adding nothing, if more than `limit` would wait.

        The limit is exact on SQLite and within one process; hosts that share a database may pass it by a few.
        """
        with self._adding, self._begin() as connection:
            # Inserted before counting: the insert takes SQLite's write lock, and a read first could not be upgraded.
            connection.execute(
                JOBS.insert().values({column.name: getattr(job, column.name) for column in JOBS.columns})
            )
            fits = limit is None or connection.execute(_count_pending()).scalar_one() <= limit
            if not fits:
                connection.rollback()
        return fits

    def get(self, job_id: str) -> Job:
        """One job. Raises NotFound."""
        with self._begin() as connection:
            return _fetch(connection, job_id)

    def transition(self, job_id: str, to: Status, *, expect: Status | None = None, **changes: Unpack[Changes]) -> Job:
        """Move a job to status `to`, if that is legal (and it is in `expect`); `changes` go along or not at all.

        Raises NotFound, or Conflict("wrong_status") where the job is in another status than it would have to be.
        """
        sources = [status for status, targets in TRANSITIONS.items() if to in targets and expect in (None, status)]
        values = {**changes, "status": to}
        with self._begin() as connection:
            moved = connection.execute(
                update(JOBS).where(JOBS.c.id == job_id, JOBS.c.status.in_(sources)).values(values)
            )
            job = _fetch(connection, job_id)
            if moved.rowcount == 0:
                _refuse(job, f"become {to}")
            return job

    def update_result(self, job_id: str, result_path: str, result: dict[str, Any]) -> Job:
        """Replace a completed job's result. Raises NotFound, or Conflict("wrong_status") if it is not completed."""
        with self._begin() as connection:
            changed = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.COMPLETED)
                .values(result_path=result_path, result=result)
            )
            job = _fetch(connection, job_id)
            if changed.rowcount == 0:
                _refuse(job, "have its result replaced")
            return job

    def claim_next(self, kinds: Collection[Kind]) -> Job | None:
        """Take the next pending job of `kinds` out of the queue for a run that begins now; None if there is none."""
        following = (
            select(JOBS.c.id, JOBS.c.attempts)
            .where(JOBS.c.status == Status.PENDING, JOBS.c.kind.in_(kinds))
            .order_by(JOBS.c.turn, JOBS.c.id)
            .limit(1)
        )
        while True:
            with self._begin() as connection:
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

    def list(self, *, kind: Kind | None = None, limit: int = 50, before: str | None = None) -> Sequence[Job]:
        """At most `limit` jobs, newest first; `before` is the id of the last job of the previous page."""
        query = select(JOBS).order_by(JOBS.c.created_at.desc(), JOBS.c.id.desc()).limit(limit)
        if kind is not None:
            query = query.where(JOBS.c.kind == kind)
        with self._begin() as connection:
            if before is not None:
                last = _fetch(connection, before)
                older = (JOBS.c.created_at < last.created_at) | (
                    (JOBS.c.created_at == last.created_at) & (JOBS.c.id < last.id)
                )
                query = query.where(older)
            return [_job(row) for row in connection.execute(query)]

    def unfinished(self) -> Sequence[Job]:
        """All jobs that wait or run, in order of their turn."""
        waiting = JOBS.c.status.in_([Status.PENDING, Status.PROCESSING])
        with self._begin() as connection:
            return [_job(row) for row in connection.execute(select(JOBS).where(waiting).order_by(JOBS.c.turn))]

    def statuses(self, job_ids: Collection[str]) -> dict[str, Status]:
        """The status of each of these jobs that is known."""
        ids = [*job_ids]
        found: dict[str, Status] = {}
        with self._begin() as connection:
            for start in range(0, len(ids), IDS_PER_QUERY):
                query = select(JOBS.c.id, JOBS.c.status).where(JOBS.c.id.in_(ids[start : start + IDS_PER_QUERY]))
                found.update({row.id: row.status for row in connection.execute(query)})
        return found

    def waiting_count(self) -> int:
        """How many jobs are pending."""
        with self._begin() as connection:
            return connection.execute(_count_pending()).scalar_one()

    def position(self, job: Job) -> int:
        """A pending job's place in the queue; 1 is next."""
        with self._begin() as connection:
            return 1 + connection.execute(_count_pending().where(JOBS.c.turn < job.turn)).scalar_one()

    def delete(self, job_id: str) -> None:
        """Forget a job; nothing happens if there is none."""
        with self._begin() as connection:
            connection.execute(delete_from(JOBS).where(JOBS.c.id == job_id))

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (OperationalError, PoolTimeout) as error:
            raise Busy("database_unavailable", "The jobs database does not answer; please try again later.") from error


def _bad_database(words: str, error: Exception) -> HubError:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return HubError("bad_database", f"{words}: {reason[0] if reason else type(error).__name__}")


def _open(url: URL) -> Engine:
    """Connections to a sound database that has the table."""
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        if not url.database or url.database == ":memory:":
            raise ArgumentError("it must be a file, such as sqlite:////var/lib/hub/hub.sqlite3")
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=16, max_overflow=16, pool_timeout=LOCK_WAIT_MS / 1000)
    try:
        if sqlite:
            event.listen(engine, "connect", _set_up_sqlite)
            _check_sqlite(engine)
        JOBS.metadata.create_all(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _check_sqlite(engine: Engine) -> None:
    """Make damage show now and whole, not later in whatever call meets it."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DatabaseError("PRAGMA quick_check", None, ValueError(f"the file is damaged ({found})"))


def _set_up_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")  # First: the next line can already meet a lock.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _count_pending() -> Select[int]:
    return select(func.count()).select_from(JOBS).where(JOBS.c.status == Status.PENDING)


def _fetch(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).first()
    if row is None:
        raise NotFound("task_not_found", f"There is no task {job_id!r}.")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)


def _refuse(job: Job, move: str) -> NoReturn:
    raise Conflict("wrong_status", f"The task is {job.status} and cannot {move}.", {"status": str(job.status)})
