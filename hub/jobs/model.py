"""What a job is, and which way its status may move."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

JOB_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""How the id of a job looks, as a regular expression."""


def is_job_id(word: str) -> bool:
    """Whether the id of a job may look so."""
    return re.fullmatch(JOB_ID, word) is not None


class Kind(StrEnum):
    """What sort of work a job is."""

    IMAGE = "image"
    VIDEO = "video"
    INSTALL = "install"

    @property
    def has_files(self) -> bool:
        """Whether a job begins with an upload and ends with a result; an installation does neither."""
        return self is not Kind.INSTALL

    @property
    def resumable(self) -> bool:
        """Whether a failed job can go on from what its runs have kept; a photo is simply sent again."""
        return self is Kind.VIDEO


class Status(StrEnum):
    """Where a job stands; the values are the words of the wire."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether the job has come to its end; a failed one stays there unless its owner resumes it."""
        return self not in (Status.PENDING, Status.PROCESSING)


TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PENDING: frozenset({Status.PROCESSING, Status.CANCELLED}),
        # Back to PENDING: the server stopped or died while the job ran.
        Status.PROCESSING: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PENDING}),
        Status.COMPLETED: frozenset(),
        # Resumed by its owner.
        Status.FAILED: frozenset({Status.PENDING}),
        Status.CANCELLED: frozenset(),
    }
)


@dataclass(frozen=True)
class Job:
    """One piece of work, most often an upload to be restored, as its row in the jobs table says.

    id: UUID4; `task_id` on the wire.
    spec: what to do, for the handler; JSON types only.
    filename: the client's name of the file, without folders and control characters.
    secret: 96 random bits in hexadecimal; part of the result's name, so that it cannot be guessed.
    turn: place in the queue; the smallest runs next.
    created_at, started_at, finished_at: Unix seconds.
    attempts: runs begun since the job was sent, resumed or last advanced for good, less those that an orderly stop
    took back.
    progress: percent reached when the status last changed; while a job runs, progress lives in memory.
    result_path: percent-encoded URL path below `/static_results/`, once completed; None for kinds without files.
    owner: who sent it; whose it is to list.
    idempotency_key, fingerprint: the sender's word for this one request, and what the request was (SHA-256).
    heartbeat_at: when its owner last said that it is being looked at, in Unix seconds.
    confirmed_at: when its owner said that the result was downloaded.
    leased_at: from when on it is kept, if not from its end: its result was replaced, or the table is of an earlier
    version that kept everything.
    """

    id: str
    kind: Kind
    task: str
    status: Status
    spec: dict[str, Any]
    filename: str
    secret: str
    turn: int
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    progress: int = 0
    result_path: str | None = None
    result: dict[str, Any] | None = None
    error_code: str | None = None
    error: str | None = None
    owner: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    heartbeat_at: float | None = None
    confirmed_at: float | None = None
    leased_at: float | None = None

    @classmethod
    def new(cls, kind: Kind, task: str, spec: Mapping[str, Any], filename: str, owner: str = "") -> Job:
        """A pending job at the end of the queue. Raises TypeError or ValueError unless `spec` is plain JSON."""
        json.dumps(spec, allow_nan=False)
        return cls(
            id=str(uuid.uuid4()),
            kind=kind,
            task=task,
            status=Status.PENDING,
            spec=dict(spec),
            filename=filename,
            secret=secrets.token_hex(12),
            turn=time.time_ns(),
            created_at=time.time(),
            owner=owner,
        )
