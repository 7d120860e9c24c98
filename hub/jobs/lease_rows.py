"""What the jobs table knows about leases: heartbeats, confirmed downloads, and which jobs have ended."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote

from sqlalchemy import ColumnElement, select, update

from hub.errors import NotFound
from hub.jobs.model import Job, Kind, Status
from hub.jobs.store import IDS_PER_QUERY, JobStore, job_of
from hub.jobs.table import JOBS
from hub.result_names import parts_of, secret_of


class LeaseRows:
    """Leases as rows: what is written here outlives the process at once. Raises Busy as the store does."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def heartbeat(self, job_id: str, now: float) -> None:
        """Record that the job's result is being looked at, or waited for. Raises NotFound if it has and gets none."""
        unfinished = JOBS.c.status.in_([Status.PENDING, Status.PROCESSING])
        done = (JOBS.c.status == Status.COMPLETED) & JOBS.c.result_path.is_not(None)
        query = update(JOBS).where(JOBS.c.id == job_id, unfinished | done).values(heartbeat_at=now)
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

    def ended(self, kinds: Collection[Kind]) -> list[Job]:
        """All jobs of these kinds that have come to an end, the one that did so first first."""
        ended = JOBS.c.status.in_([status for status in Status if status.finished])
        query = select(JOBS).where(ended, JOBS.c.kind.in_(kinds)).order_by(JOBS.c.finished_at)
        with self._store.begin() as connection:
            return [job_of(row) for row in connection.execute(query)]

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

    def _look_up(self, key: ColumnElement[str], value: ColumnElement[Kind], wanted: Collection[str]) -> dict[str, Kind]:
        keys = [*wanted]
        found: dict[str, Kind] = {}
        with self._store.begin() as connection:
            for start in range(0, len(keys), IDS_PER_QUERY):
                query = select(key, value).where(key.in_(keys[start : start + IDS_PER_QUERY]))
                found.update({row[0]: row[1] for row in connection.execute(query)})
        return found
