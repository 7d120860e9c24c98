"""What the jobs table knows about leases: heartbeats, confirmed downloads, and which have lapsed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar
from urllib.parse import unquote

from sqlalchemy import ColumnElement, func, or_, select, update

from hub.errors import NotFound
from hub.jobs.model import Job, Kind, Status
from hub.jobs.rows import IDS_PER_QUERY, job_of, jobs_of, portions
from hub.jobs.store import JobStore
from hub.jobs.table import JOBS
from hub.leases import LeaseTerms
from hub.result_names import parts_of, secret_of

T = TypeVar("T")

FINISHED = JOBS.c.status.in_([status for status in Status if status.finished])
HAS_RESULT = (JOBS.c.status == Status.COMPLETED) & JOBS.c.result_path.is_not(None)


class LeaseRows:
    """Leases as rows: what is written here outlives the process at once. Raises Busy as the store does."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def heartbeat(self, job_id: str, now: float) -> None:
        """Record that the job's result is being looked at. Raises NotFound if it has none."""
        query = update(JOBS).where(JOBS.c.id == job_id, HAS_RESULT).values(heartbeat_at=now)
        with self._store.begin() as connection:
            if connection.execute(query).rowcount == 0:
                raise NotFound("result_not_found", f"The task {job_id!r} has no result; it may have been deleted.")

    def confirm(self, result_path: str, now: float) -> bool:
        """Record that a result was downloaded; False if it was before.

        result_path: percent-encoded or not. Raises NotFound for all that is not the result of a job.
        """
        job = self._with_result(result_path)
        fresh = update(JOBS).where(JOBS.c.id == job.id, JOBS.c.confirmed_at.is_(None)).values(confirmed_at=now)
        with self._store.begin() as connection:
            first = connection.execute(fresh).rowcount == 1
        if not first:
            self._with_result(result_path)  # Else it is not confirmed but gone.
        return first

    def due(self, kinds: Collection[Kind], terms: LeaseTerms, now: float) -> Iterator[Sequence[Job]]:
        """The jobs of these kinds whose lease has lapsed unless a heartbeat keeps them, some at a time."""
        ended = func.coalesce(JOBS.c.leased_at, JOBS.c.finished_at, JOBS.c.created_at)
        due = or_(
            FINISHED & ~HAS_RESULT & (ended <= now - terms.failed),
            HAS_RESULT & JOBS.c.confirmed_at.is_(None) & (ended <= now - terms.abandoned),
            *(
                HAS_RESULT & (JOBS.c.kind == kind) & (JOBS.c.confirmed_at <= now - kept)
                for kind, kept in terms.downloaded.items()
            ),
        )
        query = select(JOBS).where(JOBS.c.kind.in_(kinds), due).order_by(JOBS.c.id).limit(IDS_PER_QUERY)
        last = ""
        while True:
            with self._store.begin() as connection:
                jobs = [*jobs_of(connection.execute(query.where(JOBS.c.id > last)))]
            if not jobs:
                return
            yield jobs
            last = jobs[-1].id

    def result_count(self, kinds: Collection[Kind]) -> int:
        """How many jobs of these kinds have a result."""
        query = select(func.count()).select_from(JOBS).where(HAS_RESULT, JOBS.c.kind.in_(kinds))
        with self._store.begin() as connection:
            return connection.execute(query).scalar_one()

    def with_results(self, kinds: Collection[Kind], keys: Collection[str]) -> set[str]:
        """The ids of those jobs of these kinds that have a result and whose id or secret is among `keys`."""
        wanted = HAS_RESULT & JOBS.c.kind.in_(kinds)
        found = (self._look_up(key, JOBS.c.id, keys, wanted) for key in (JOBS.c.id, JOBS.c.secret))
        return {job_id for some in found for job_id in some.values()}

    def kinds(self, job_ids: Collection[str]) -> dict[str, Kind]:
        """The kind of each of these jobs that is known."""
        return self._look_up(JOBS.c.id, JOBS.c.kind, job_ids)

    def known_secrets(self, secrets: Collection[str]) -> set[str]:
        """Those among `secrets` that belong to a job."""
        return {*self._look_up(JOBS.c.secret, JOBS.c.kind, secrets)}

    def _with_result(self, result_path: str) -> Job:
        """The job whose result this is. Raises NotFound."""
        parts = parts_of(result_path)
        query = select(JOBS).where(
            JOBS.c.secret == (secret_of(parts.name) if parts else None), JOBS.c.status == Status.COMPLETED
        )
        with self._store.begin() as connection:
            for job in map(job_of, connection.execute(query)):
                if unquote(job.result_path or "") == unquote(result_path):
                    return job
        raise NotFound("result_not_found", "There is no such result; it may have been deleted.")

    def _look_up(
        self, key: ColumnElement[str], value: ColumnElement[T], wanted: Collection[str], *only: ColumnElement[bool]
    ) -> dict[str, T]:
        with self._store.begin() as connection:
            return {
                row[0]: row[1]
                for keys in portions(wanted)
                for row in connection.execute(select(key, value).where(key.in_(keys), *only))
            }
