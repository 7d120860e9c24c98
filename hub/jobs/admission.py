"""Who gets into the queue: while the hub is open, while there is room, and once for each idempotency key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub.errors import Busy, Conflict, InvalidInput
from hub.jobs.model import Job, Kind
from hub.jobs.store import JobStore
from hub.jobs.table import LONGEST_KEY
from hub.results import FileStore
from hub.uploads import CHUNK_BYTES, Readable

FIRST_GUESS_SECONDS = 10.0
KEY_PATTERN = f"[ -~]{{1,{LONGEST_KEY}}}"
"""What an idempotency key looks like, here and in the API's description of the header."""


@dataclass(frozen=True)
class Idempotency:
    """The sender's word for one request, so that sending it again does nothing anew.

    key: 1 to 255 printable ASCII characters. request: what was asked for, apart from the file; JSON types only.
    """

    key: str
    request: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not re.fullmatch(KEY_PATTERN, self.key):
            message = f"An idempotency key has 1 to {LONGEST_KEY} printable ASCII characters, such as a UUID."
            raise InvalidInput("invalid_idempotency_key", message)


class Admission:
    """The door of the queue."""

    def __init__(self, store: JobStore, files: FileStore, kinds: Iterable[Kind], *, queue_limit: int) -> None:
        """queue_limit: how many jobs may wait, of all kinds together."""
        self._store = store
        self._files = files
        self._queue_limit = queue_limit
        self._open = self._closed = False
        self._mean_seconds = dict.fromkeys(kinds, FIRST_GUESS_SECONDS)  # Of a run, for Retry-After.

    def open(self) -> None:
        """Let jobs in from now on, unless the door was closed before."""
        self._open = not self._closed

    def close(self) -> None:
        """Let nothing in any more."""
        self._open, self._closed = False, True

    def check_open(self) -> None:
        """Raise Busy unless jobs are let in."""
        if not self._open:
            raise Busy("not_accepting", "The hub is starting or stopping; please try again in a moment.")

    def refusal(self) -> str | None:
        """Why a job sent now would be refused, in words; None if it would be let in. Raises Busy as the store does."""
        try:
            self.check_open()
        except Busy as error:
            return error.message
        return self._full().message if self._store.waiting_count() >= self._queue_limit else None

    def learn(self, kind: Kind, seconds: float) -> None:
        """Take into account how long a run took."""
        self._mean_seconds[kind] += 0.2 * (seconds - self._mean_seconds[kind])

    def knows(self, owner: str, key: str) -> bool:
        """Whether `owner` has a job that he sent with this idempotency key. Raises Busy as the store does."""
        return self._store.keyed(owner, key) is not None

    def repeated(self, kind: Kind, owner: str, idempotency: Idempotency | None, stream: Readable | None) -> Job | None:
        """The job that `owner` sent with the same key before, if he did; it needs no room. `stream` is read then.

        Raises Busy while the door is closed, InvalidInput (`idempotency_key_reused`) where it was another request.
        """
        self.check_open()
        first = None if idempotency is None else self._store.keyed(owner, idempotency.key)
        if first is None:
            return None
        print_of = _Fingerprint(kind, idempotency, stream)
        print_of.read_to_end()
        return _same(first, print_of.hexdigest())

    def admit(
        self,
        job: Job,
        stream: Readable | None,
        check: Callable[[Path], object] | None = None,
        idempotency: Idempotency | None = None,
    ) -> Job:
        """Let a new job in and return it, or the first one that its owner sent with the same key.

        stream: the upload, if the job has one; as much of it as is needed is read. check: see JobManager.submit.
        Raises Busy, TooLarge, InvalidInput (`idempotency_key_reused` where the first request was another one).
        """
        first = self.repeated(job.kind, job.owner, idempotency, stream)
        if first is not None:
            return first
        print_of = _Fingerprint(job.kind, idempotency, stream)
        if self._store.waiting_count() >= self._queue_limit:
            raise self._full(job.kind)  # Before the upload is copied; decided for good by the insert.
        try:
            if stream is not None:
                path = self._files.save_upload(job.id, job.filename, print_of)
                if check is not None:
                    check(path)
            admitted = self._insert(job, idempotency, print_of)
        except BaseException:
            self._files.delete(job)
            raise
        if admitted.id != job.id:
            self._files.delete(job)
        return admitted

    def readmit(self, job: Job) -> None:
        """Put a failed job behind all that wait. Raises NotFound, Conflict, Busy where the queue is full."""
        self.check_open()
        if not self._store.requeue(job.id, limit=self._queue_limit):
            raise self._full(job.kind)

    def _insert(self, job: Job, idempotency: Idempotency | None, print_of: _Fingerprint) -> Job:
        if idempotency is not None:
            job = replace(job, idempotency_key=idempotency.key, fingerprint=print_of.hexdigest())
        while True:
            self.check_open()
            try:
                added = self._store.add(job, limit=self._queue_limit)
            except Conflict:
                first = self._store.keyed(job.owner, job.idempotency_key or "")
                if first is None:
                    continue  # It has just been deleted, and its key with it; so this one is the first.
                return _same(first, job.fingerprint)
            if not added:
                raise self._full(job.kind)
            return job

    def _full(self, kind: Kind | None = None) -> Busy:
        message = f"{self._queue_limit} tasks are waiting already; please try again later."
        seconds = self._mean_seconds[kind] if kind else FIRST_GUESS_SECONDS
        return Busy("queue_full", message, retry_after=max(1, min(300, round(seconds))))


class _Fingerprint:
    """What a request was: its words and, as they are read through this, the bytes of its file."""

    def __init__(self, kind: Kind, idempotency: Idempotency | None, stream: Readable | None) -> None:
        words = None if idempotency is None else json.dumps([kind, idempotency.request], sort_keys=True)
        self._digest = hashlib.sha256((words or "").encode() + b"\n")
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """As the stream's own."""
        chunk = b"" if self._stream is None else self._stream.read(size)
        self._digest.update(chunk)
        return chunk

    def read_to_end(self) -> None:
        """Read what is left, and keep none of it."""
        while self.read(CHUNK_BYTES):
            pass

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _same(first: Job, fingerprint: str | None) -> Job:
    """The first job, if it was asked for by the same request."""
    if first.fingerprint != fingerprint:
        message = (
            "This idempotency key was used for another request; repeat a request as it was, or use a new key for a new "
            "one."
        )
        raise InvalidInput("idempotency_key_reused", message, {"task_id": first.id})
    return first
