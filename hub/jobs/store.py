"""The durable table of jobs: every change is one transaction, every status change a compare-and-set."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypedDict, Unpack

from sqlalchemy import Connection, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, NotFound
from hub.jobs.model import TRANSITIONS, Job, Kind, Status
from hub.jobs.rows import UNREADABLE, JobRows, count_pending, database_away, fetch
from hub.jobs.table import JOBS, LOCK_WAIT_MS, open_database

logger = logging.getLogger(__name__)


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


class JobStore(JobRows):
    """The jobs table behind a SQLAlchemy URL; safe to use from any thread.

    Where the database is locked, calls wait; where it stays away, they raise Busy("database_unavailable").
    """

    def __init__(self, url: str) -> None:
        """Open the database and make the table if need be. Raises HubError (`bad_database`) that says what is wrong."""
        super().__init__(open_database(url))
        self._adding = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def add(self, job: Job, *, limit: int | None = None) -> bool:
        """Commit a new job; for good once this returns. False, adding nothing, if more than `limit` would wait.

        The limit is exact on SQLite and within one process; hosts that share a database may pass it by a few.
        Raises Conflict("idempotency_key_taken") if its owner has a job with the same key.
        """
        with self._alone(), self.begin() as connection:
            # Inserted before counting: the insert takes SQLite's write lock, and a read first could not be upgraded.
            values = {column.name: getattr(job, column.name) for column in JOBS.columns}
            try:
                connection.execute(JOBS.insert().values(values))
            except IntegrityError as error:
                if job.idempotency_key is None:
                    raise
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
        with self._alone(), self.begin() as connection:
            moved = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.FAILED)
                .values({**anew, "status": Status.PENDING})
            )
            if moved.rowcount == 0:
                _refuse(fetch(connection, job_id), "be resumed")
            fits = _fits(connection, limit)
            if not fits:
                connection.rollback()
        return fits

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
            job = fetch(connection, job_id)
            if moved.rowcount == 0:
                _refuse(job, f"become {to}")
            return job

    def update_result(self, job_id: str, result_path: str, result: dict[str, Any]) -> Job:
        """Replace a completed job's result. Raises NotFound, or Conflict("wrong_status") if it is not completed.

        It is kept as one that has just been finished, since nobody has downloaded it.
        """
        with self.begin() as connection:
            changed = connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.COMPLETED)
                .values(result_path=result_path, result=result, confirmed_at=None, leased_at=time.time())
            )
            job = fetch(connection, job_id)
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
            except UNREADABLE:  # Damaged from outside; those behind it are not to wait for ever.
                logger.exception("Job %s: its row cannot be read.", row.id)
                self._give_up(row.id)

    def _give_up(self, job_id: str) -> None:
        """Let a pending job whose row cannot be read fail, as one that can be read again."""
        words = {"error_code": "internal_error", "error": "The task's entry in the hub's database is damaged."}
        with self.begin() as connection:
            connection.execute(
                update(JOBS)
                .where(JOBS.c.id == job_id, JOBS.c.status == Status.PENDING)
                .values(**words, status=Status.FAILED, finished_at=time.time(), spec={}, result=None)
            )

    def forgive(self, job_id: str) -> None:
        """Count the runs of a running job from its present one on; nothing happens if it does not run."""
        with self.begin() as connection:
            running = (JOBS.c.id == job_id) & (JOBS.c.status == Status.PROCESSING)
            connection.execute(update(JOBS).where(running).values(attempts=1))

    def delete_unchanged(self, job: Job) -> bool:
        """Forget a job if it is still as `job` says; False if not, or if it is gone."""
        same = [
            JOBS.c[name].is_not_distinct_from(getattr(job, name))
            for name in ("status", "finished_at", "heartbeat_at", "confirmed_at", "leased_at")
        ]
        with self.begin() as connection:
            return connection.execute(delete_from(JOBS).where(JOBS.c.id == job.id, *same)).rowcount == 1

    def delete(self, job_id: str) -> None:
        """Forget a job; nothing happens if there is none."""
        with self.begin() as connection:
            connection.execute(delete_from(JOBS).where(JOBS.c.id == job_id))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else add a job meanwhile. Raises Busy where those before wait for the database for too long."""
        if not self._adding.acquire(timeout=LOCK_WAIT_MS / 1000):
            raise database_away()
        try:
            yield
        finally:
            self._adding.release()


def _fits(connection: Connection, limit: int | None) -> bool:
    """Whether no more than `limit` jobs wait, counting what this transaction has added."""
    return limit is None or connection.execute(count_pending()).scalar_one() <= limit


def _refuse(job: Job, move: str) -> NoReturn:
    raise Conflict("wrong_status", f"The task is {job.status} and cannot {move}.", {"status": str(job.status)})
